"""Arms: each model in each way that this machine can run it.

A float model runs in OpenVINO and, where it is installed, in torch, in float32 and, where the
processor has it, in bf16; in ONNX Runtime in float32. A quantised model computes in int8 what can
be, and the rest in one of these; torch does not read it.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from buildext.engines.choose import make_engine
from buildext.errors import BuildextError, UsageError
from buildext.models.store import Model

PRECISIONS = {"openvino": ("f32", "bf16"), "onnxruntime": ("f32",), "torch": ("f32", "bf16")}
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Arm:
    """A model in one engine and precision.

    Attributes:
        name: of the model, unique among those that are compared.
        source: bundled name or folder.
        engine: one of `PRECISIONS`.
        precision: of what is not int8.
        is_quantised: whether the rest is.
    """

    name: str
    source: str
    engine: str
    precision: str
    is_quantised: bool

    @property
    def arithmetic(self) -> str:
        """The precision in words."""
        return f"int8, rest {self.precision}" if self.is_quantised else self.precision

    def __str__(self) -> str:
        return f"{self.name} · {self.engine} {self.arithmetic}"


def installed_engines() -> tuple[str, ...]:
    """The engines that can be imported here."""
    return tuple(name for name in PRECISIONS if importlib.util.find_spec(name))


def arms_of(models: Sequence[tuple[str, Model]], engines: Sequence[str]) -> list[Arm]:
    """Everything that the models can be run in here.

    Args:
        models: each with the name or folder that it was asked for by.
        engines: to consider; all that are installed where empty.

    Raises:
        UsageError: an engine is not installed, or runs none of the models.
    """
    here = installed_engines()
    for engine in engines:
        if engine not in here:
            raise UsageError(
                f"got the engine {engine!r}; installed here are {', '.join(here)}",
                hint='pip install "buildext[train]" for torch, or leave --engine out',
            )
    names = _unique([(model.card.name, source) for source, model in models])
    found = [
        Arm(name, source, engine, precision, "quantisation" in model.card.training)
        for name, (source, model) in zip(names, models, strict=True)
        for engine in engines or here
        for precision in PRECISIONS[engine]
        if _runs(model, engine, precision)
    ]
    if not found:
        raise UsageError(
            f"none of these models runs in {', '.join(engines or here)}",
            hint="add --engine openvino",
        )
    return found


def _runs(model: Model, engine: str, precision: str) -> bool:
    """Whether an engine takes a model in a precision; what does not is said in the log."""
    if engine == "torch" and "quantisation" in model.card.training:
        return False
    try:
        make_engine(model, engine=engine, precision=precision, tile_px=model.card.tile_px)
    except BuildextError as error:
        log.info("%s does not run in %s %s: %s", model.card.name, engine, precision, error)
        return False
    return True


def _unique(names: Sequence[tuple[str, str]]) -> list[str]:
    """Names of cards; where two are equal, with what they were asked for by."""
    plain = [name for name, _ in names]
    return [name if plain.count(name) == 1 else f"{name} ({source})" for name, source in names]
