"""What the two halves of a mosaic tell each other: plain values, one a file or a block.

`run` plans, keeps the ledger and computes probabilities; `outline` and `finish` make buildings of
them. These rows and options are all that passes between the two, next to the files of the blocks.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from typing import Any, Literal

from buildext.footprints.separate import SeparationOptions
from buildext.footprints.shape import ShapeOptions
from buildext.mosaic.grid import BlockId

SourceState = Literal["used", "damaged", "gone"]


@dataclass(frozen=True, slots=True)
class OutlineOptions:
    """How the probability of a block becomes outlines.

    Attributes:
        separation: thresholds as bytes and sizes in pixels.
        shape: how outlines are simplified or regularised.
        label_kind: what the model's labels draw, `roof` or `footprint`.
    """

    separation: SeparationOptions
    shape: ShapeOptions
    label_kind: str


@dataclass(frozen=True, slots=True)
class BlockOutcome:
    """What a worker tells of a block that it has done; plain and small, since it travels.

    Attributes:
        buildings: buildings that the block owns; 0 after the first stage.
        valid_px: pixels with data; 0 after the second stage.
        seconds: time that the work took.
        worker: host and process that did it.
        details: what else is worth keeping in the ledger, fit for JSON.
        cpu_s: processor seconds of the worker's process meanwhile.
    """

    buildings: int
    valid_px: int
    seconds: float
    worker: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    cpu_s: float = 0.0


def worker_name() -> str:
    """Host and process, as outcomes name their worker."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True, slots=True)
class SourceRow:
    """One file of the mosaic, as the ledger has it.

    Attributes:
        number: its value in `{row}_{col}.source.tif`, from 1, the same for ever.
        name: path or address.
        state: `damaged` files were left out; `gone` ones are no longer part of the mosaic.
        note: what was wrong with a damaged file.
        acquired: time of acquisition as ISO 8601, "" where nothing tells.
        group: the sensor group whose stretch it shares.
    """

    number: int
    name: str
    state: SourceState
    note: str
    acquired: str
    group: str


@dataclass(frozen=True, slots=True)
class BlockRow:
    """One block of the mosaic after both stages.

    Attributes:
        block: its place.
        valid_px: pixels with data; 0 where it has no files.
        buildings: buildings that it owns.
        probability_s, footprints_s: seconds that the stages took.
        details: what `outline_block` reported beside.
    """

    block: BlockId
    valid_px: int
    buildings: int
    probability_s: float
    footprints_s: float
    details: dict[str, Any]
