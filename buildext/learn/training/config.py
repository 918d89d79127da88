"""The training config: one TOML file that says everything a run depends on.

Every key has a default that is sensible or none at all; an unknown key is an error that names the
nearest known one, since a silently ignored `leraning_rate` costs a night. Paths may hold
environment variables (`$BUILDEXT_DATA/...`) and are relative to the config's own folder.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from buildext.errors import MissingInputError, UsageError
from buildext.learn.networks.spec import NetworkSpec, Normalisation

DATA_VARIABLE = "BUILDEXT_DATA"


class Section(BaseModel):
    """A part of the config: frozen, and without unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSection(Section):
    """The architecture and where its encoder starts from.

    `pretrained_origin` is written into the model card: whose weights they were, and the licence.
    """

    encoder: str = "tu-tf_efficientnetv2_b0"
    decoder: str = "unet"
    decoder_channels: tuple[int, ...] = (128, 96, 64, 32)
    head: Literal["subpixel", "conv"] = "subpixel"
    encoder_depth: int = 5
    channels: tuple[Literal["building", "contact"], ...] = ("building", "contact")
    pretrained: str = ""
    pretrained_origin: str = ""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def spec(self) -> NetworkSpec:
        """The part of the section that fixes the state-dict keys."""
        return NetworkSpec(
            encoder=self.encoder,
            decoder=self.decoder,
            decoder_channels=self.decoder_channels,
            channels=self.channels,
            head=self.head,
            encoder_depth=self.encoder_depth,
        )

    def normalisation(self) -> Normalisation:
        """The mean and deviation that go with the encoder's weights."""
        return Normalisation(self.mean, self.std)


class SamplingSection(Section):
    """Which tiles are drawn, at which resolution, and how often from each dataset."""

    tile_px: int = Field(default=256, ge=32, multiple_of=32)
    gsd_m: tuple[float, float] = (0.10, 0.65)
    max_upsampling: float = Field(default=1.7, ge=1.0)
    weights: dict[str, float] = {}
    empty_tiles: float = Field(default=0.5, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def _ordered(self) -> SamplingSection:
        if not 0 < self.gsd_m[0] <= self.gsd_m[1]:
            raise ValueError("gsd_m must be two positive numbers, the finer one first")
        return self


class SplitSection(Section):
    """What is held out for monitoring: whole scenes, or square blocks of the others."""

    block_m: float = Field(default=64.0, gt=0)
    hold_out: float = Field(default=0.12, ge=0.0, lt=1.0)
    scenes: tuple[str, ...] = ()


class AugmentSection(Section):
    """How strongly tiles are changed; 0 leaves them as they are."""

    strength: float = Field(default=1.0, ge=0.0, le=2.0)
    gray: float = Field(default=0.1, ge=0.0, le=1.0)
    nodata: float = Field(default=0.15, ge=0.0, le=1.0)


class LossSection(Section):
    """Weights of the parts of the loss and the geometry of the contact target."""

    contact: float = Field(default=0.7, ge=0.0)
    contact_positive: float = Field(default=3.0, gt=0.0)
    contact_m: float = Field(default=0.5, gt=0.0)
    contact_px: float = Field(default=1.25, gt=0.0)


class ScheduleSection(Section):
    """Steps, batch and optimiser."""

    steps: int = Field(ge=1)
    batch: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=1.5e-3, gt=0)
    encoder_factor: float = Field(default=0.3, ge=0)
    weight_decay: float = Field(default=1e-2, ge=0)
    warm_up_steps: int = Field(default=100, ge=0)
    clip_norm: float = Field(default=2.0, gt=0)
    ema_decay: float = Field(default=0.998, ge=0, lt=1)
    checkpoint_every: int = Field(default=200, ge=1)
    validate_every: int = Field(default=200, ge=1)


class MachineSection(Section):
    """Where and how fast; nothing here changes what is learned but the last bits."""

    device: str = "auto"
    precision: Literal["bf16", "float32"] = "bf16"
    threads: int = Field(default=0, ge=0)
    workers: int = Field(default=1, ge=0)


class TrainingConfig(Section):
    """A whole run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    seed: int = Field(default=0, ge=0)
    data_root: str = f"${DATA_VARIABLE}"
    datasets: tuple[str, ...] = Field(min_length=1)
    network: NetworkSection = NetworkSection()
    sampling: SamplingSection = SamplingSection()
    split: SplitSection = SplitSection()
    augment: AugmentSection = AugmentSection()
    loss: LossSection = LossSection()
    schedule: ScheduleSection
    machine: MachineSection = MachineSection()


def load_config(path: Path) -> TrainingConfig:
    """Read and check a config.

    Raises:
        MissingInputError: there is no such file.
        UsageError: it is no TOML, or a key or a value is wrong.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingInputError(
            f"got no file at {path}; expected a training config", hint="check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is no valid TOML: {error}", hint="compare it with recipes/default.toml"
        ) from error
    return check_config(values, str(path))


def check_config(values: dict[str, Any], origin: str) -> TrainingConfig:
    """Turn plain values into a config.

    Raises:
        UsageError: naming the first wrong key and, for an unknown one, its nearest neighbour.
    """
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            *parents, typo = problem["loc"]
            known = _keys_of([str(p) for p in parents])
            near = difflib.get_close_matches(str(typo), known, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
            raise UsageError(f"{origin}: unknown key {key!r}", hint=hint) from error
        raise UsageError(
            f"{origin}: {key}: got {problem['input']!r}; {problem['msg']}",
            hint="correct this key; docs/training.md lists them all",
        ) from error


def _keys_of(parents: list[str]) -> list[str]:
    """The keys of the section reached by the names of its parents."""
    section: type[BaseModel] = TrainingConfig
    for name in parents:
        annotation = section.model_fields[name].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        section = annotation
    return list(section.model_fields)


def resolve_path(text: str, base: Path, purpose: str) -> Path:
    """`text` with environment variables filled in, relative to `base`.

    Raises:
        UsageError: a variable is not set.
    """
    filled = os.path.expandvars(text)
    if "$" in filled:
        raise UsageError(
            f"got {text!r} for the {purpose}, but the environment variable in it is not set",
            hint=f"set it, such as `export {DATA_VARIABLE}=/path/to/data`, or write the path out",
        )
    return (base / Path(filled).expanduser()).resolve()
