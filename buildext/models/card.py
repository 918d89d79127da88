"""The model card: everything that must travel with the weights.

A model is a folder with `card.json` and the files that it names. The card says what the network
expects (bands, scaling, GSD), what it predicts (channels, thresholds), where it comes from
(training data with licences, scores with their protocol) and what its files must hash to. Nothing
that changes the result is guessed elsewhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from buildext.errors import DamagedModelError, ModelError

CARD_NAME = "card.json"
# The step from roof to footprint, along the columns and down the rows; see `offset_range_m`.
OFFSET_CHANNELS = ("offset_x", "offset_y")


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkSpec(_Part):
    """What is needed to build the network again with the same parameter names.

    A segmentation network here is an *encoder* (a classifier's body whose maps shrink by 2 at each
    stage), a *decoder* (which mixes the encoder's maps into one) and a *head* (which turns that
    map into one logit map per output channel, at the image's size). A training config and a model
    card carry the same spec; two equal specs with equal channels have the same state-dict keys.
    """

    encoder: str
    """Name in the encoder registry, such as `tu-tf_efficientnetv2_b0`."""
    encoder_options: dict[str, bool | int | float | str] = {}
    """Choices that some encoders offer, such as `detail = true`."""
    encoder_depth: int = Field(default=5, ge=3, le=5)
    """Number of encoder stages used; each halves the resolution."""
    decoder: str = "unet"
    """Name in the decoder table."""
    decoder_channels: tuple[int, ...] = ()
    """Widths inside the decoder, deepest first; none: the decoder's own."""
    head: Literal["conv", "subpixel"] = "conv"
    """`conv` enlarges logits bilinearly; `subpixel` shuffles channels into pixels."""


class Gsd(_Part):
    """Ground sampling distances in metres: the range trained on and the preferred one."""

    min_m: float = Field(gt=0)
    max_m: float = Field(gt=0)
    preferred_m: float = Field(gt=0)


class Thresholds(_Part):
    """Where probabilities become buildings, and how these numbers were found."""

    building: float = Field(0.5, gt=0, lt=1)
    core: float | None = Field(None, gt=0, lt=1)
    """Where a building begins; from there it reaches as far as `building` and `grow_m` allow. None:
    the same as `building`."""
    contact: float | None = Field(None, gt=0, lt=1)
    """A building pixel with a contact probability of at least this is a seam; None: no channel."""
    grow_m: float = Field(1.2, ge=0)
    """How far a building grows from its core, over seams and soft edges, in metres."""
    calibration: str = "not calibrated"


class TrainingData(_Part):
    """One data set that the network was trained on."""

    name: str
    licence: str
    attribution: str = ""
    places: tuple[str, ...] = ()


class Score(_Part):
    """Scores on one data set under a named protocol."""

    dataset: str
    protocol: str
    values: dict[str, float]


class Card(_Part):
    """The card of a model, schema version 1."""

    schema_version: Literal[1] = 1
    name: str
    version: str = "1"
    description: str = ""
    task: Literal["building-segmentation"] = "building-segmentation"
    label_kind: Literal["roof", "footprint"] = "roof"
    licence: str = "Apache-2.0"
    network: NetworkSpec
    channels: tuple[str, ...] = ("building",)
    """Output channels in order; the first is `building`."""
    bands: tuple[str, ...] = ("red", "green", "blue")
    percentiles: tuple[float, float] = (1.0, 99.0)
    """Stretch of one scene's valid pixels to uint8 where the dtype is not uint8."""
    mean: tuple[float, ...]
    """Mean of each band in units of 0..1, subtracted inside the network file."""
    std: tuple[float, ...]
    gsd: Gsd
    tile_px: int = Field(768, ge=64)
    overlap_px: int = Field(96, ge=0)
    stride_divisor: int = 32
    """Tile sizes must be a multiple of this."""
    second_scale: float | None = Field(default=None, gt=1, le=4)
    """Tiles are looked at once more, this many times coarser, and the two answers are averaged; not
    where that is coarser than `gsd.max_m`. None: once."""
    offset_range_m: float | None = Field(None, gt=0)
    """Metres for which the channels `offset_x` and `offset_y` stand at 1, and minus as many at 0:
    `metres = offset_range_m · (2 · value − 1)`, from roof to footprint along the image's columns
    and down its rows. None: no such channels."""
    thresholds: Thresholds = Field(default_factory=lambda: Thresholds.model_validate({}))
    pretrained: str = ""
    """Origin and licence of the weights that training began with."""
    training_data: tuple[TrainingData, ...] = ()
    training: dict[str, Any] = {}
    """Seed, steps, git revision, package versions: what a repetition needs."""
    scores: tuple[Score, ...] = ()
    weights_of: str = ""
    """The bundled model whose files these are; this one is another way of using them."""
    files: dict[str, str] = {}
    """sha256 of each file beside the card."""

    @model_validator(mode="after")
    def _consistent(self) -> Card:
        if not self.channels or self.channels[0] != "building":
            raise ValueError(f"got channels {self.channels}; expected `building` first")
        if self.thresholds.contact is not None and "contact" not in self.channels:
            raise ValueError("got a contact threshold, but no channel `contact`")
        offsets = set(OFFSET_CHANNELS) & set(self.channels)
        if len(offsets) != (0 if self.offset_range_m is None else 2):
            raise ValueError("offset_x, offset_y and offset_range_m belong together")
        if not len(self.mean) == len(self.std) == len(self.bands):
            raise ValueError("mean, std and bands must have the same length")
        if not self.gsd.min_m <= self.gsd.preferred_m <= self.gsd.max_m:
            raise ValueError("expected gsd.min_m <= gsd.preferred_m <= gsd.max_m")
        if self.tile_px % self.stride_divisor:
            raise ValueError(f"tile_px must be a multiple of {self.stride_divisor}")
        return self

    @property
    def fill(self) -> tuple[int, ...]:
        """What an invalid pixel is filled with: the mean colour, zero to the network; uint8."""
        return tuple(round(255 * value) for value in self.mean)

    def dumps(self) -> str:
        """The card as it is written to disk."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def read_card(folder: Path) -> Card:
    """Read and check `card.json` of a model folder.

    Raises:
        ModelError: there is no card in the folder.
        DamagedModelError: the card cannot be parsed or contradicts itself.
    """
    path = folder / CARD_NAME
    try:
        return Card.model_validate_json(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelError(
            f"got {folder}, which has no {CARD_NAME}; expected a model folder",
            hint="name a bundled model (buildext models list) or a folder written by train/export",
        ) from error
    except (ValidationError, UnicodeDecodeError) as error:
        first = str(error).replace("\n", "; ")[:300]
        raise DamagedModelError(
            f"the card {path} is damaged: {first}", hint="restore the model folder"
        ) from error
