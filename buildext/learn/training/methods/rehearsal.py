"""Rehearsal: what a model was trained on, a few tiles of it, kept beside its weights.

Fine-tuning on one place changes what a network does in all others. On images of that place alone
it cannot be asked what it used to see elsewhere; on a few dozen tiles of its own past it can
(rehearsal, Robins 1995; with the old network's answers as targets, Li & Hoiem 2018). The tiles need
no labels. They lie in the model folder as one JPEG, a sheet of squares of 256 px.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from buildext.errors import DamagedModelError, NotWritableError

SHEET_NAME = "rehearsal.jpg"
SIDE_PX = 256
COLUMNS = 8
QUALITY = 90


def write_sheet(path: Path, tiles: Sequence[NDArray[np.uint8]]) -> None:
    """Write RGB tiles, uint8 `(256, 256, 3)` each, as one sheet of whole rows.

    Raises:
        ValueError: their number is no multiple of 8.
        NotWritableError: the file cannot be written.
    """
    if not tiles or len(tiles) % COLUMNS:
        raise ValueError(f"got {len(tiles)} tiles; expected a multiple of {COLUMNS}")
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    sheet = cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR)
    if not cv2.imwrite(str(path), sheet, [cv2.IMWRITE_JPEG_QUALITY, QUALITY]):
        raise NotWritableError(f"cannot write {path}", hint="check the folder")


def read_sheet(path: Path) -> torch.Tensor:
    """The tiles of a sheet, uint8 `(N, 3, 256, 256)`.

    Raises:
        DamagedModelError: the file is no such sheet.
    """
    sheet = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if sheet is None or sheet.shape[0] % SIDE_PX or sheet.shape[1] != COLUMNS * SIDE_PX:
        raise DamagedModelError(
            f"got {path}, which is no sheet of tiles", hint="restore the model folder"
        )
    pixels = torch.from_numpy(cv2.cvtColor(sheet, cv2.COLOR_BGR2RGB))
    rows = sheet.shape[0] // SIDE_PX
    tiles = pixels.reshape(rows, SIDE_PX, COLUMNS, SIDE_PX, 3).permute(0, 2, 4, 1, 3)
    return tiles.reshape(-1, 3, SIDE_PX, SIDE_PX).contiguous()
