"""One behaviour, every engine: order, keys, holes, early ends, and the same numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from buildext.engines.base import Engine, FloatArray, UInt8Array
from buildext.engines.choose import make_engine
from buildext.errors import ModelError, UsageError
from buildext.models.store import Model
from tests.engines.conftest import TILE_PX

EngineOf = Callable[..., Engine]
ENGINES = [("openvino", 1), ("openvino", 4), ("onnxruntime", 0), ("torch", 1), ("torch", 3)]


@pytest.fixture(params=ENGINES, ids=str)
def engine(request: pytest.FixtureRequest, engine_of: EngineOf) -> Engine:
    return engine_of(*request.param)


@pytest.fixture(scope="module")
def expected(engine_of: EngineOf, tiles: UInt8Array) -> FloatArray:
    """Probabilities by ONNX Runtime, the plainest of the engines."""
    return engine_of("onnxruntime").infer(tiles)


def test_all_engines_say_the_same(
    engine: Engine, model: Model, tiles: UInt8Array, expected: FloatArray
) -> None:
    result = engine.infer(tiles)
    assert result.dtype == np.float32
    assert result.shape == (len(tiles), len(model.card.channels), TILE_PX, TILE_PX)
    assert result.min() >= 0 and result.max() <= 1
    # The tiles show buildings and ground, so that agreeing means something.
    assert expected[:, 0].min() < 0.1 and expected[:, 0].max() > 0.9
    assert np.abs(result - expected).max() <= 2 / 255


def test_a_stream_keeps_its_order_and_lets_holes_through(
    engine: Engine, tiles: UInt8Array, expected: FloatArray
) -> None:
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(tiles)), 3))
    holes = {0, 5, 6, 7, 20, len(order) - 1}

    def jobs() -> Iterator[tuple[int, UInt8Array | None]]:
        for place, index in enumerate(order):
            yield place, None if place in holes else tiles[index]

    places = []
    for place, result in engine.stream(jobs()):
        places.append(place)
        if place in holes:
            assert result is None
        else:
            assert result is not None
            assert np.abs(result - expected[order[place]]).max() <= 2 / 255
            # The caller may write to what it got.
            result *= 0
    assert places == list(range(len(order)))


def test_nothing_but_holes(engine: Engine) -> None:
    keys = ["a", "b", "c"] * 10
    assert list(engine.stream((key, None) for key in keys)) == [(key, None) for key in keys]
    assert list(engine.stream(iter(()))) == []


def test_a_stream_may_end_early_and_the_engine_goes_on(
    engine: Engine, tiles: UInt8Array, expected: FloatArray
) -> None:
    stream = engine.stream(enumerate(list(tiles) * 3))
    assert [key for key, _ in islice(stream, 2)] == [0, 1]
    stream.close()  # type: ignore[attr-defined]
    assert np.abs(engine.infer(tiles[:1]) - expected[:1]).max() <= 2 / 255


def test_an_error_of_the_producer_reaches_the_consumer(engine: Engine, tiles: UInt8Array) -> None:
    def jobs() -> Iterator[tuple[int, UInt8Array]]:
        yield 0, tiles[0]
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        list(engine.stream(jobs()))
    assert engine.infer(tiles[:1]).shape[0] == 1


def test_an_engine_may_run_in_another_thread(
    engine: Engine, tiles: UInt8Array, expected: FloatArray
) -> None:
    results: list[FloatArray] = []
    thread = threading.Thread(target=lambda: results.append(engine.infer(tiles[:2])))
    thread.start()
    thread.join()
    assert np.abs(results[0] - expected[:2]).max() <= 2 / 255


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("requests", [1, 2, 5])
def test_openvino_does_not_care_how_many_are_under_way(
    engine_of: EngineOf, tiles: UInt8Array, threads: int, requests: int
) -> None:
    alone = engine_of("openvino", 1, 1).infer(tiles)
    together = engine_of("openvino", requests, threads)
    assert together.info.tiles_in_flight == requests
    np.testing.assert_array_equal(together.infer(tiles), alone)


def test_info_says_what_ran(engine: Engine) -> None:
    assert engine.info.name in ("openvino", "onnxruntime", "torch")
    assert engine.info.version[0].isdigit()
    assert engine.info.device == "cpu"
    assert engine.info.precision == "f32"


@pytest.mark.parametrize(
    "wish",
    [
        {"engine": "tensorrt"},
        {"engine": "openvino", "device": "NPU7"},
        {"engine": "openvino", "precision": "f16"},
        {"engine": "onnxruntime", "device": "cuda"},
        {"engine": "onnxruntime", "precision": "bf16"},
    ],
    ids=str,
)
def test_what_an_engine_cannot_do_is_a_usage_error(model: Model, wish: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"^got "):
        make_engine(model, tile_px=TILE_PX, **wish)  # type: ignore[arg-type]


def test_torch_refuses_bf16_where_it_would_crawl(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    with pytest.raises(UsageError, match="no instructions"):
        make_engine(model, engine="torch", device="cpu", precision="bf16", tile_px=TILE_PX)


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_file_that_is_no_network(name: str, tmp_path: Path, model: Model) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a network at all" * 50)
    with pytest.raises(ModelError, match=r"cannot read .*model\.onnx"):
        make_engine(Model(tmp_path, model.card), engine=name, tile_px=TILE_PX)


def test_auto_takes_openvino_on_a_cpu(model: Model) -> None:
    assert make_engine(model, tile_px=TILE_PX).info.name == "openvino"


def test_torch_refuses_a_quantised_model_by_name(tmp_path: Path, model: Model) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("torch")
    helper, kind = onnx.helper, onnx.TensorProto
    node = helper.make_node("DequantizeLinear", ["weight", "scale"], ["out"])
    graph = helper.make_graph(
        [node],
        "quantised",
        [],
        [helper.make_tensor_value_info("out", kind.FLOAT, [2])],
        [
            helper.make_tensor("weight", kind.INT8, [2], [1, 2]),
            helper.make_tensor("scale", kind.FLOAT, [], [0.5]),
        ],
    )
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="quantised model 'default'") as caught:
        make_engine(Model(tmp_path, model.card), engine="torch", tile_px=TILE_PX)
    assert "--engine openvino" in caught.value.hint
