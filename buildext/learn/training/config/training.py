"""The training config: one TOML file that says everything a run depends on.

Every key has a default that is sensible or none at all; an unknown key is an error that names the
nearest known one, since a silently ignored `leraning_rate` costs a night. Paths may hold
environment variables (`$BUILDEXT_DATA/...`) and are relative to the config's own folder.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from buildext.errors import MissingInputError, UsageError
from buildext.learn.training.config.data import AugmentSection, SamplingSection
from buildext.learn.training.config.loss import LossSection
from buildext.learn.training.config.method import MethodSection, Role
from buildext.learn.training.config.network import NetworkSection
from buildext.learn.training.config.schedule import MachineSection, ScheduleSection
from buildext.learn.training.config.section import Section
from buildext.learn.training.config.split import SplitSection

DATA_VARIABLE = "BUILDEXT_DATA"


class TrainingConfig(Section):
    """A whole run.

    Attributes:
        name: of the model that comes out.
        seed: of everything that is drawn.
        data_root: where the paths of dataset cards begin.
        datasets: folders of dataset cards or of packed pools.
        roles: whether a dataset counts as noisy or clean, by its name; without an entry a
            dataset is clean if its card says so, and noisy otherwise.
        start: a model (bundled name or folder) whose weights the network starts with.
        teacher: the other network of `kd` (and of the peers in `dml`, which else are equal).
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    seed: int = Field(default=0, ge=0)
    data_root: str = f"${DATA_VARIABLE}"
    datasets: tuple[str, ...] = Field(min_length=1)
    roles: dict[str, Role] = Field(default_factory=dict)
    start: str = ""
    network: NetworkSection = NetworkSection()
    teacher: NetworkSection | None = None
    method: MethodSection = MethodSection()
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
    return check_config(read_toml(path), str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a config of any kind.

    Raises:
        MissingInputError: there is no such file.
        UsageError: it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingInputError(
            f"got no file at {path}; expected a config", hint="check the path"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is no valid TOML: {error}", hint="compare it with one of recipes/"
        ) from error


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
        if problem["type"] == "literal_error":
            expected = problem["ctx"]["expected"]
            choices = re.findall(r"'([^']*)'", expected)
            near = difflib.get_close_matches(str(problem["input"]), choices, n=1, cutoff=0.4)
            raise UsageError(
                f"{origin}: {key}: got {problem['input']!r}; expected {expected}",
                hint=f"did you mean {near[0]!r}?" if near else "choose one of these",
            ) from error
        raise UsageError(
            f"{origin}: {key}: got {problem['input']!r}; {problem['msg']}",
            hint="correct this key; docs/training.md lists them all",
        ) from error


def _keys_of(parents: list[str]) -> list[str]:
    """The keys of the section reached by the names of its parents."""
    section: type[BaseModel] = TrainingConfig
    for name in parents:
        annotation = section.model_fields[name].annotation
        if isinstance(annotation, types.UnionType):
            # An optional section.
            annotation = typing.get_args(annotation)[0]
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
