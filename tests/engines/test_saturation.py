"""The processor is asked by a sum that overflows, and its answer is passed on."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from buildext.engines import saturation
from buildext.engines.choose import make_engine
from buildext.engines.saturation import int8_saturates
from buildext.models.store import Model
from tests.engines.test_engines import TILE_PX

CPUINFO = Path("/proc/cpuinfo")
EXACT = {"avx512_vnni", "avx_vnni", "amx_int8"}


@pytest.mark.skipif(
    not CPUINFO.exists() or "avx2" not in CPUINFO.read_text(), reason="x86 under Linux only"
)
def test_it_is_true_of_processors_without_instructions_for_the_sum() -> None:
    flags = set(CPUINFO.read_text().split())
    assert int8_saturates() == (not flags & EXACT)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("saturates", [True, False])
@pytest.mark.parametrize("training", [{}, {"quantisation": {"precision": "w8a8"}}])
def test_only_quantised_models_are_warned_of_and_only_where_it_is_so(
    model: Model,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    engine: str,
    saturates: bool,
    training: dict[str, object],
) -> None:
    monkeypatch.setattr(saturation, "int8_saturates", lambda: saturates)
    card = model.card.model_copy(update={"training": training})
    with caplog.at_level(logging.WARNING, "buildext"):
        make_engine(replace(model, card=card), engine=engine, tile_px=TILE_PX)
    assert ("the float model is safe" in caplog.text) == (saturates and bool(training))
