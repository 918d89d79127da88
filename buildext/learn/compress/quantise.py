"""From a model in floats to a model in few bits.

    model + calibration tiles -> graph -> plan -> QDQ file -> checked, measured -> model folder

The result is a model folder like any other. Its card says, under `training.quantisation`, what was
done, on which tiles, how much runs in int8, how far the engines are from the simulation, and, where
labels were given, what was lost on each scene.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from buildext.errors import ModelError, UsageError
from buildext.learn.compress.agreement import Agreement, check_agreement
from buildext.learn.compress.int8_share import Int8Share, int8_share
from buildext.learn.compress.ir.graph import Graph, read_graph, write_graph
from buildext.learn.compress.ir.simplify import simplify
from buildext.learn.compress.libraries.nncf import quantise_with_nncf
from buildext.learn.compress.libraries.ort import quantise_with_onnxruntime
from buildext.learn.compress.measure import PROTOCOL, SceneDrop
from buildext.learn.compress.methods.mixed import WIDTHS
from buildext.learn.compress.methods.q_hyvit import q_hyvit_mixed
from buildext.learn.compress.methods.table import METHODS
from buildext.learn.compress.plan import Plan
from buildext.learn.compress.qdq import STORED_BITS, with_qdq
from buildext.learn.compress.target import TARGETS, TargetName
from buildext.learn.compress.tiles import digest
from buildext.learn.compress.work import site_macs
from buildext.learn.compress.workbench import Workbench
from buildext.models.card import Card, Score
from buildext.models.store import WEIGHTS_NAME, Model, write_model_card
from buildext.progress import Progress

log = logging.getLogger(__name__)

LIBRARIES: dict[str, Callable[[Graph, NDArray[np.uint8], Path], None]] = {
    "nncf": quantise_with_nncf,
    "onnxruntime": quantise_with_onnxruntime,
}
BITS = (4, 5, 6, 7, 8)
MIXED = "mixed"
# Below this share a file is not worth its rounding; said as a warning.
WORTHWHILE_SHARE = 0.9
LISTED_FLOATS = 5


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model is quantised.

    Attributes:
        method: one of `METHODS` or `LIBRARIES`.
        bits: of weights and activations, or `mixed`: eight or six, by site.
        target: what will run it.
        device: of the calibration.
        seed: of what is drawn.
    """

    method: str = "q-hyvit"
    bits: int | Literal["mixed"] = 8
    target: TargetName = "openvino"
    device: str = "cpu"
    seed: int = 0

    @property
    def precision(self) -> str:
        """What the result is, in words: `w8a8`, or with fewer bits `w6a6 (simulated)`."""
        name = MIXED if self.bits == MIXED else f"w{self.bits}a{self.bits}"
        is_real = self.bits == STORED_BITS and self.target != "simulation"
        return name if is_real else f"{name} (simulated)"


@dataclass(frozen=True, slots=True)
class Quantised:
    """A written file and what is known of it.

    Attributes:
        path: the ONNX file.
        share: what runs in int8.
        agreement: between the simulation and the engines; None for a library's own file.
    """

    path: Path
    share: Int8Share
    agreement: Agreement | None


def plan_for(
    graph: Graph,
    tiles: NDArray[np.uint8],
    recipe: Recipe,
    stride_divisor: int,
    progress: Progress | None = None,
) -> Plan:
    """Choose quantisers for a simplified graph.

    Raises:
        UsageError: the method or the number of bits is unknown.
    """
    if recipe.method not in METHODS:
        names = ", ".join([*METHODS, *LIBRARIES])
        raise UsageError(f"got the method {recipe.method!r}; expected one of {names}")
    if recipe.bits == MIXED and recipe.method != "q-hyvit":
        raise UsageError(
            f"{recipe.method} has one width for all layers; it cannot do mixed bits",
            hint="use --method q-hyvit or --bits 8",
        )
    if recipe.bits != MIXED and recipe.bits not in BITS:
        raise UsageError(
            f"got {recipe.bits} bits; expected one of {', '.join(map(str, BITS))}",
            hint="8 bits run in int8; fewer are simulated",
        )
    bench = Workbench(
        graph,
        tiles,
        recipe.bits if isinstance(recipe.bits, int) else WIDTHS[0],
        TARGETS[recipe.target],
        stride_divisor=stride_divisor,
        device=recipe.device,
        seed=recipe.seed,
        progress=progress,
    )
    method = q_hyvit_mixed if recipe.bits == MIXED else METHODS[recipe.method]
    return method(bench)


def quantise_file(
    weights: Path,
    tiles: NDArray[np.uint8],
    recipe: Recipe,
    stride_divisor: int,
    path: Path,
    progress: Progress | None = None,
) -> Quantised:
    """Quantise an exported network.

    Args:
        weights: its ONNX file.
        tiles: uint8 `(N, 3, H, W)`.
        recipe: how.
        stride_divisor: of the network, in pixels.
        path: where the result goes.
        progress: told each site.

    Raises:
        UsageError: the recipe cannot be followed.
        ModelError: an engine does not compute what was simulated.
    """
    graph = simplify(read_graph(weights))
    if any(node.op == "QuantizeLinear" for node in graph.nodes):
        raise ModelError(f"{weights} is quantised already", hint="start from the float model")
    agreement = None
    if recipe.method in LIBRARIES:
        if recipe.bits != STORED_BITS or recipe.target == "simulation":
            raise UsageError(
                f"{recipe.method} was asked for {recipe.precision}; it makes w8a8 files only",
                hint="use --bits 8 --target openvino",
            )
        LIBRARIES[recipe.method](graph, tiles, path)
    else:
        plan = plan_for(graph, tiles, recipe, stride_divisor, progress)
        write_graph(with_qdq(plan), path)
        agreement = check_agreement(plan, path, tiles)
    share = int8_share(path, site_macs(graph, tiles.shape[-1]), tiles.shape[-1])
    if share.share < WORTHWHILE_SHARE and recipe.target == "openvino":
        log.warning("only %.0f %% of the work runs in int8 on this machine", 100 * share.share)
    return Quantised(path, share, agreement)


def quantise_model(
    model: Model,
    tiles: NDArray[np.uint8],
    sources: Sequence[str],
    recipe: Recipe,
    out: Path,
    measure: Callable[[Model], list[SceneDrop]] | None = None,
    progress: Progress | None = None,
) -> Card:
    """Quantise a model into a new model folder.

    Args:
        model: in floats.
        tiles: uint8 `(N, 3, H, W)`.
        sources: what the tiles come from, for the card.
        recipe: how.
        out: the folder, empty or not there.
        measure: scores the new model against the old one.
        progress: told each site.

    Returns:
        The new card.

    Raises:
        UsageError, ModelError: see `quantise_file`.
    """
    torch.manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    divisor = model.card.stride_divisor
    made = quantise_file(model.weights, tiles, recipe, divisor, out / WEIGHTS_NAME, progress)
    card = _described(model, made, recipe, sources, tiles)
    card = write_model_card(out, card)
    if measure is None:
        return card
    drops = measure(Model(out, card))
    return write_model_card(out, _scored(card, drops))


def _described(
    model: Model, made: Quantised, recipe: Recipe, sources: Sequence[str], tiles: NDArray[np.uint8]
) -> Card:
    """The card of the result, before any score: the float network's are not its own."""
    share = made.share
    record: dict[str, Any] = {
        "precision": recipe.precision,
        "method": recipe.method,
        "target": recipe.target,
        "of": {"name": model.card.name, "sha256": model.card.files[WEIGHTS_NAME]},
        "calibration": {
            "sources": list(sources),
            "tiles": len(tiles),
            "tile_px": int(tiles.shape[-1]),
            "sha256": digest(tiles),
            "seed": recipe.seed,
        },
        "openvino": {
            "int8_share_of_macs": round(share.share, 4),
            "macs_per_tile": share.macs,
            "largest_in_floats": [name for name, _ in share.in_floats[:LISTED_FLOATS]],
        },
    }
    if made.agreement is not None:
        record["difference_from_simulation"] = asdict(made.agreement)
    return model.card.model_copy(
        update={
            "name": f"{model.card.name}-{recipe.method}-{recipe.precision.split()[0]}",
            "description": f"{model.card.description}, {recipe.precision}",
            "training": {**model.card.training, "quantisation": record},
            "scores": (),
        }
    )


def _scored(card: Card, drops: Sequence[SceneDrop]) -> Card:
    """The card with F1 of this network and the drop against the float one, scene by scene."""
    scores = []
    for scene in drops:
        values: dict[str, float] = {}
        for name, after in scene.after.items():
            key = f"building_f1 {name}".rstrip()
            values[key] = round(after, 4)
            values[f"{key} lost"] = round(scene.before[name] - after, 4)
        scores.append(Score(dataset=scene.scene, protocol=PROTOCOL, values=values))
    return card.model_copy(update={"scores": tuple(scores)})
