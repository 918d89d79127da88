"""The latency model: fitted, judged, and fed by real measurements."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from buildext.learn import stopwatch
from buildext.learn.search import timing
from buildext.learn.search.config import DecoderSpace, EngineSection, SpaceSection, StageSpace
from buildext.learn.search.latency import fit_latency, latency_error
from buildext.learn.search.parts import Sample, measure_parts, parts_of
from buildext.learn.search.timing import time_network
from buildext.learn.search.work import Work, Works
from buildext.learn.stopwatch import median_ms
from buildext.models.card import NetworkSpec
from buildext.progress import SilentProgress

ENGINE = EngineSection(tile_px=64, threads=1, precision="f32")
SMALL = SpaceSection(
    half=(8,),
    condense=(2.0,),
    depths=(3,),
    stages=(
        StageSpace(kinds=("tap",), widths=(8,)),
        StageSpace(kinds=("global",), widths=(16,), pooled=(False, True)),
    ),
    decoders=(DecoderSpace(name="segformer", widths=(8,)),),
)


def drawn(count: int, noise: float) -> list[Sample]:
    """Samples of a machine that obeys the model, but for some noise."""
    rng = np.random.default_rng(0)
    rates = {"mask": (2e-9, 5e-9, 1e-7, 0.01), "mbconv": (1e-9, 0.0, 3e-7, 0.02)}
    samples = []
    for i in range(count):
        works: Works = {}
        time = 0.3
        for kind in ("mask", "mbconv") if i % 3 else ("mbconv",):
            sums = rng.uniform(0.2, 1.0, 4) * (1e9, 3e8, 1e7, 20)
            works[kind] = Work(*sums)
            time += float(np.dot(rates[kind], sums))
        samples.append(Sample(f"{i}", works, time * float(np.exp(rng.normal(0, noise)))))
    return samples


def test_a_machine_that_obeys_the_model_is_found_out() -> None:
    samples = drawn(40, 0.0)
    model = fit_latency(samples[:30])
    assert model.start_ms == pytest.approx(0.3, rel=1e-6)
    assert model.per_work["mbconv"] == pytest.approx((1e-9, 0.0, 3e-7, 0.02), rel=1e-6, abs=1e-15)
    for sample in samples[30:]:
        assert model.predict(sample.works) == pytest.approx(sample.latency_ms, rel=1e-6)


def test_noise_is_not_fitted_with_negative_rates() -> None:
    model = fit_latency(drawn(40, 0.2))
    assert all(rate >= 0 for rates in model.per_work.values() for rate in rates)
    truth = drawn(60, 0.0)
    error = latency_error([model.predict(s.works) for s in truth], [s.latency_ms for s in truth])
    assert error.r2 > 0.9 and error.median < 0.1


def test_networks_that_are_faster_than_their_parts_scale_the_model() -> None:
    parts = drawn(30, 0.0)
    plain = fit_latency(parts)
    faster = [replace(s, latency_ms=0.8 * plain.predict(s.works)) for s in drawn(60, 0.0)[30:]]
    assert plain.factor == 1.0
    # One network is not believed as thirty are.
    assert 0.9 < fit_latency(parts, faster[:1]).factor < 0.95
    assert fit_latency(parts, faster).factor == pytest.approx(0.8, abs=0.02)


def test_errors_by_hand() -> None:
    error = latency_error([1.0, 2.0, 6.0], [1.0, 2.5, 4.0])
    assert (error.count, error.worst, error.median) == (3, 0.5, 0.2)
    assert error.r2 == pytest.approx(1 - 4.25 / 4.5)
    assert math.isnan(latency_error([], []).r2)


def test_every_part_of_a_space_is_measured_once(tmp_path: Path) -> None:
    """Taps, both ways to halve, stem and decoder, on the engine; a second call reads them."""
    parts = list(parts_of(SMALL, ENGINE.tile_px))
    names = [part.name for part in parts]
    assert len(names) >= 8 and "stage2 global 16 x1 pooled from 8" in names
    samples = measure_parts(SMALL, ENGINE, tmp_path, SilentProgress())
    assert all(0 < sample.latency_ms < 1000 and sample.works for sample in samples)
    assert {kind for s in samples for kind in s.works} == {
        *("stem", "condense", "shrink", "global", "global pooled", "segformer")
    }
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert measure_parts(SMALL, ENGINE, tmp_path, SilentProgress()) == samples
    assert times == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}


def test_a_whole_network_is_timed_and_quantised() -> None:
    spec = NetworkSpec(
        encoder="searched",
        encoder_options={"stem": "8 8", "stage1": "tap 8", "stage2": "global 32 x1"},
        encoder_depth=3,
        decoder="segformer",
        decoder_channels=(8,),
    )
    timed = time_network(spec, ("building",), ENGINE, rounds=2, int8=True)
    assert 0 < timed.latency_ms < 1000
    assert timed.int8_share is not None and 0.5 < timed.int8_share <= 1
    assert "openvino" in timed.engine and "1 thread" in timed.engine


def test_one_thread_is_timed_by_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that sleeps costs no processor; with several threads the wall clock counts."""
    one, many = (EngineSection(threads=threads) for threads in (1, 2))
    monkeypatch.setattr(stopwatch, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(stopwatch, "LEAST_RUNS", 3)
    assert median_ms(lambda: time.sleep(0.02), timing.clock_for(one)) < 10
    assert median_ms(lambda: time.sleep(0.02), timing.clock_for(many)) >= 20
