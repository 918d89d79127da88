"""The bundled model, its engines, and tiles of a real scene."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from buildext.engines.base import Engine, UInt8Array
from buildext.engines.choose import make_engine
from buildext.models.store import Model, load_model
from tests import real

TILE_PX = 128


@pytest.fixture(scope="session")
def model() -> Model:
    """The model that comes with the package."""
    return load_model("default")


@pytest.fixture(scope="session")
def tiles() -> UInt8Array:
    """Nine different tiles `(9, 3, 128, 128)` of a real scene."""
    image = real.pixels(3 * TILE_PX)
    return np.stack(
        [
            image[:, row : row + TILE_PX, col : col + TILE_PX]
            for row in range(0, 3 * TILE_PX, TILE_PX)
            for col in range(0, 3 * TILE_PX, TILE_PX)
        ]
    )


@pytest.fixture(scope="session")
def engine_of(model: Model) -> Callable[..., Engine]:
    """Make an engine, each kind once."""

    @cache
    def engine_of(name: str, batch: int = 0, threads: int = 0, precision: str = "f32") -> Engine:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
        return make_engine(
            model,
            engine=name,
            device="cpu",
            precision=precision,
            tile_px=TILE_PX,
            threads=threads,
            batch=batch,
        )

    return engine_of
