"""Two looks at a tile: the mean of the network's answers at two scales, in any engine."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from buildext.engines.base import Engine, UInt8Array
from buildext.engines.choose import make_engine
from buildext.engines.multiscale import MultiScaleEngine
from buildext.models.store import Model
from tests.engines.conftest import TILE_PX

COARSE_PX = 96


@pytest.fixture(scope="module", params=["openvino", "onnxruntime"])
def looks(request: pytest.FixtureRequest, model: Model) -> tuple[Engine, Engine]:
    fine, coarse = (
        make_engine(model, engine=request.param, precision="f32", tile_px=side)
        for side in (TILE_PX, COARSE_PX)
    )
    return fine, coarse


@pytest.fixture(scope="module")
def both(looks: tuple[Engine, Engine]) -> MultiScaleEngine:
    return MultiScaleEngine(*looks, TILE_PX, COARSE_PX)


def smaller(tiles: UInt8Array) -> UInt8Array:
    shrunk = F.interpolate(
        torch.from_numpy(tiles).float(), (COARSE_PX,) * 2, mode="bilinear", antialias=True
    )
    return shrunk.round().to(torch.uint8).numpy()


def test_is_the_mean_of_two_looks(
    looks: tuple[Engine, Engine], both: MultiScaleEngine, tiles: UInt8Array
) -> None:
    fine, coarse = looks
    again = F.interpolate(
        torch.from_numpy(coarse.infer(smaller(tiles[:3]))), (TILE_PX,) * 2, mode="bilinear"
    ).numpy()
    expected = (fine.infer(tiles[:3]) + again) / 2
    found = both.infer(tiles[:3])
    # A grey level may round the other way.
    assert np.abs(found - expected).mean() < 1e-3
    assert np.abs(found - fine.infer(tiles[:3])).mean() > 1e-2


def test_streams_in_order_and_lets_empty_tiles_pass(
    both: MultiScaleEngine, tiles: UInt8Array
) -> None:
    jobs = [(k, None if k % 3 == 1 else tile) for k, tile in enumerate(tiles)]
    expected = both.infer(tiles)
    keys = []
    for key, found in both.stream(iter(jobs)):
        keys.append(key)
        if jobs[key][1] is None:
            assert found is None
        else:
            assert found is not None
            np.testing.assert_allclose(found, expected[key], atol=1e-5)
    assert keys == list(range(len(tiles)))


def test_says_so_in_what_is_recorded(looks: tuple[Engine, Engine], both: MultiScaleEngine) -> None:
    fine, coarse = looks
    assert (fine.info.second_tile_px, both.info.second_tile_px) == (0, COARSE_PX)
    in_flight = fine.info.tiles_in_flight + coarse.info.tiles_in_flight
    assert both.info.tiles_in_flight == in_flight
