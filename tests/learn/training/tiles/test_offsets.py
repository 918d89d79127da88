"""The step from roof to footprint turns with the tile, and travels as a share of its range."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from buildext.errors import UsageError
from buildext.learn.training.config import LossSection, TrainingConfig, check_config
from buildext.learn.training.data.scenes import LabelledScene, Tile
from buildext.learn.training.engine.builder import build_sight
from buildext.learn.training.engine.monitor import is_error, score_tiles
from buildext.learn.training.tiles.offsets import to_metres, to_share
from buildext.learn.training.tiles.sampling import Placement, Pyramid
from buildext.learn.training.tiles.targets import make_targets

CHANNELS = ("building", "offset_x", "offset_y")


def test_shares_and_metres_are_inverse_and_a_mean_stays_a_mean() -> None:
    steps = np.array([-100.0, -3.5, 0.0, 40.0, 100.0], np.float32)
    shares = to_share(steps, 100.0)
    np.testing.assert_allclose(shares, [0, 0.4825, 0.5, 0.7, 1])
    np.testing.assert_allclose(to_metres(shares, 100.0), steps, atol=1e-4)
    np.testing.assert_allclose(
        to_metres(shares.mean(keepdims=True), 100.0), steps.mean(), rtol=1e-5
    )


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle_rad", [0.0, 0.7, math.pi / 2, 4.0])
@pytest.mark.parametrize("gsd_m", [0.25, 0.6])
def test_a_roofs_pixel_and_its_step_lead_to_the_footprint(
    scene: LabelledScene, flip: bool, angle_rad: float, gsd_m: float
) -> None:
    # A roof of 160 x 160 px whose footprint lies 60 px to the right of it and 32 px up.
    roofs, footprints = np.zeros_like(scene.labels), np.zeros_like(scene.labels)
    roofs[200:360, 200:360] = 1
    footprints[168:328, 260:420] = 1
    steps = np.array([[np.nan, np.nan], [60 * 0.25, -32 * 0.25]], np.float32)
    leaning = dataclasses.replace(scene, labels=roofs, offsets_m=steps)
    placement = Placement((300.0, 260.0), angle_rad, flip, gsd_m)
    tile = Pyramid(leaning).cut(placement, 128)
    ground = Pyramid(dataclasses.replace(scene, labels=footprints)).cut(placement, 128)
    assert tile.offset_m is not None
    assert np.isnan(tile.offset_m[:, tile.labels == 0]).all()
    rows, cols = np.nonzero(tile.labels)
    to_x = np.rint(cols + tile.offset_m[0, rows, cols] / gsd_m).astype(int)
    to_y = np.rint(rows + tile.offset_m[1, rows, cols] / gsd_m).astype(int)
    inside = (to_x >= 0) & (to_x < 128) & (to_y >= 0) & (to_y < 128)
    assert inside.sum() > 500
    hit = ground.labels[to_y[inside], to_x[inside]] > 0
    # Pixels along the edges may fall on the other side.
    assert hit.mean() > 0.95
    assert np.hypot(*tile.offset_m[:, rows[0], cols[0]]) == pytest.approx(17.0, abs=1e-4)


def test_steps_of_parts_stand_where_a_roof_is_seen(scene: LabelledScene) -> None:
    # A podium with a tower on its left half; what lies beside the label is hidden.
    roofs, parts = np.zeros_like(scene.labels), np.zeros_like(scene.labels)
    roofs[100:228, 100:228] = 5
    parts[90:228, 90:228] = 1
    parts[100:228, 100:164] = 2
    steps = np.array([[np.nan, np.nan], [0.0, -3.0], [0.0, -40.0]], np.float32)
    towered = dataclasses.replace(scene, labels=roofs, offsets_m=steps, roof_parts=parts)
    tile = Pyramid(towered).cut(Placement((164.0, 164.0), 0.0, True, 0.25), 160)
    assert tile.offset_m is not None
    np.testing.assert_array_equal(np.isfinite(tile.offset_m[1]), tile.labels > 0)
    # Mirrored: the tower is on the right.
    assert (tile.offset_m[1, 16:144, 16:80] == -3).all()
    assert (tile.offset_m[1, 16:144, 80:144] == -40).all()


def leaning_tile(step_m: tuple[float, float]) -> Tile:
    labels = np.zeros((32, 32), np.int32)
    labels[8:24, 8:24] = 1
    weight = np.ones((32, 32), bool)
    weight[:, 20:] = False
    offset = np.full((2, 32, 32), np.nan, np.float32)
    offset[:, labels > 0] = np.array(step_m, np.float32)[:, None]
    image = np.zeros((32, 32, 3), np.uint8)
    return Tile(image, labels, weight, np.ones_like(weight), True, 0.5, offset)


def test_targets_stand_on_roofs_alone() -> None:
    options = LossSection(offset_range_m=50.0)
    target, weight = make_targets(leaning_tile((10.0, -20.0)), CHANNELS, options)
    assert (weight[1:] > 0).sum() == 2 * 16 * 12
    assert (target[1, 8:24, 8:20] == np.float16(0.6)).all()
    assert (target[2, 8:24, 8:20] == np.float16(0.3)).all()
    assert np.isfinite(target).all()
    # A step beyond the range along one axis is not taught along the other either.
    _, beyond = make_targets(leaning_tile((10.0, -50.1)), CHANNELS, options)
    assert not beyond[1:].any()
    assert beyond[0].any()
    without = dataclasses.replace(leaning_tile((0, 0)), offset_m=None)
    assert not make_targets(without, CHANNELS, options)[1][1:].any()


def test_the_score_is_the_mean_length_of_the_error_by_class(config: TrainingConfig) -> None:
    network = config.network.model_copy(update={"channels": CHANNELS})
    sight = build_sight(network, 1, torch.float32)
    options = LossSection(offset_range_m=50.0)
    target, weight = make_targets(leaning_tile((10.0, -20.0)), CHANNELS, options)
    classes = torch.zeros(32, 32, dtype=torch.uint8)
    classes[:12], classes[12:16] = 2, 4
    tile = {
        "image": torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8),
        "target": torch.from_numpy(target),
        "weight": torch.from_numpy(weight),
        "height_class": classes,
    }
    scores = score_tiles(sight, {"town": [tile]}, (12, 36, 100), 50.0)
    with torch.no_grad():
        found = 50 * (2 * torch.sigmoid(sight(tile["image"][None])[0, 1:]) - 1).numpy()
    error = np.hypot(found[0] - 10, found[1] + 20)
    # Targets are kept in 16 bits: 1 cm.
    assert scores["town/offset_m"] == pytest.approx(error[8:24, 8:20].mean(), abs=0.05)
    assert scores["town/offset_m 12-36 m"] == pytest.approx(error[8:12, 8:20].mean(), abs=0.05)
    assert scores["town/offset_m >= 100 m"] == pytest.approx(error[12:16, 8:20].mean(), abs=0.05)
    assert "town/offset_m < 12 m" not in scores
    assert "town/offset_x" not in scores
    assert scores["mean/offset_m"] == scores["town/offset_m"]
    assert {name for name in scores if is_error(name)} == {n for n in scores if "offset" in n}


def test_the_two_axes_belong_together(make_config: Callable[..., TrainingConfig]) -> None:
    values = make_config().model_dump(mode="json")
    values["network"]["channels"] = ["building", "offset_x"]
    with pytest.raises(UsageError, match="belong together"):
        check_config(values, "test")
