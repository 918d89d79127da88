"""The report of a run: what it counts is right, and the page needs nothing but a browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from buildext.errors import MissingInputError
from buildext.learn.training.engine.log import TrainingLog
from buildext.learn.training.report import write_training_report
from buildext.learn.training.report.calibration import Reliability
from buildext.learn.training.report.curves import read_curves, smooth
from buildext.learn.training.report.report import WORST, judge_tiles
from buildext.learn.training.tiles.tensors import Batch


class Brightness(nn.Module):
    """A network of one line: the brighter, the more building; the second channel is its inverse."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits = (images.float().mean(1, keepdim=True) - 127.5) / 20
        return torch.cat([logits, -logits], 1)


def tile(wrong: float, labelled: bool = True) -> Batch:
    """A tile, its left half bright; labels say building there, but for a share of all pixels."""
    image = np.full((3, 40, 40), 30, np.uint8)
    image[:, :, :20] = 220
    truth = np.zeros((40, 40), np.uint8)
    truth[:, :20] = 1
    truth.reshape(-1)[: round(wrong * 1600)] ^= 1
    weight = np.full((2, 40, 40), labelled, np.uint8)
    # The second channel is unknown everywhere.
    weight[1] = 0
    return {
        "image": torch.from_numpy(image),
        "target": torch.from_numpy(np.stack([truth, truth])).half(),
        "weight": torch.from_numpy(weight).half(),
    }


MONITOR = {
    "town": [tile(0.1), tile(0.5), tile(0.0), tile(0.9, labelled=False)],
    "village": [tile(0.3)] + [tile(0.01)] * WORST,
}


def test_the_worst_come_first_and_unknown_pixels_do_not_count() -> None:
    worst, counts = judge_tiles(Brightness(), ("building", "contact"), MONITOR, torch.device("cpu"))
    assert len(worst) == WORST
    assert [(t.dataset, t.number) for t in worst[:4]] == [
        ("town", 1),
        ("village", 0),
        ("town", 0),
        ("village", 1),
    ]
    assert [t.wrong for t in worst[:3]] == pytest.approx([0.5, 0.3, 0.1])
    assert counts["building"].pixels.sum() == (3 + 1 + WORST) * 1600
    assert counts["contact"].pixels.sum() == 0
    assert np.isnan(counts["contact"].error)


def test_the_calibration_error_by_hand() -> None:
    counts = Reliability()
    # 100 pixels at 0.9 of which 70 are building, 300 at 0.1 of which none are.
    truth = np.zeros(400, bool)
    truth[:70] = True
    probability = np.array([0.9] * 100 + [0.1] * 300, np.float32)
    counts.add(probability[:250], truth[:250])
    counts.add(probability[250:], truth[250:])
    assert counts.error == pytest.approx((100 * 0.2 + 300 * 0.1) / 400)
    counts = Reliability()
    counts.add(np.array([0.0, 1.0], np.float32), np.array([False, True]))
    assert counts.error == 0


def test_smoothing_keeps_the_mean_and_forgets_nan() -> None:
    assert smooth([2.0] * 50) == [2.0] * 50
    noisy = smooth([0.0, 1.0] * 100)
    assert max(noisy[5:-5]) - min(noisy[5:-5]) < 0.2
    assert smooth([1.0, float("nan"), 3.0])[1] == 2.0


def test_the_page(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        read_curves(tmp_path)
    with TrainingLog(tmp_path) as log:
        for step in range(10, 1000, 10):
            log.add(step, {"loss/total": 1 / step, "rate": 0.01, "tiles_s": 12.5})
            if step % 200 == 0:
                log.add(
                    step, {"held_out/town/building": step / 1000, "held_out/mean/building": 0.5}
                )
    config = {"name": "a <b> run", "seed": 3, "network": {"encoder": "tu-x", "decoder": "unet"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    card = {"name": "town", "licence": "CC0-1.0", "attribution": "nobody"}
    (tmp_path / "provenance.json").write_text(json.dumps({"datasets": [card], "packages": {}}))
    path = write_training_report(
        tmp_path, Brightness(), ("building", "contact"), MONITOR, torch.device("cpu")
    )
    page = path.read_text(encoding="utf-8")
    assert "a &lt;b&gt; run" in page and "<b> run" not in page
    assert page.count("<figure>") == 2 + WORST
    assert page.count("data:image/jpeg;base64,") == 4 * WORST
    assert "town no. 1: 50.0 % wrong" in page
    assert "0.8000" in page, "the last held-out score"
    assert "CC0-1.0" in page
    assert not re.search(r'(src|href)="(https?:)?//', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert "#010203" not in page
    # The same run gives the same page; nothing held out gives one without tiles.
    again = write_training_report(
        tmp_path, Brightness(), ("building", "contact"), MONITOR, torch.device("cpu")
    )
    assert again.read_text(encoding="utf-8") == page
    write_training_report(tmp_path, Brightness(), ("building",), {}, torch.device("cpu"))
    assert "Nothing is held out" in path.read_text(encoding="utf-8")
