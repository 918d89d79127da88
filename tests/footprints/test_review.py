from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyogrio
import pytest
import shapely
from affine import Affine
from shapely import Polygon

from buildext.footprints.features import to_batch
from buildext.footprints.frame import GridFrame
from buildext.footprints.review import REVIEW_SCHEMA, ReviewPool, open_review, reviewed
from buildext.footprints.shape import RegStatus
from tests.footprints.made import UTM, UTM_FRAME, building, rows_of

METRE_FRAME = GridFrame(Affine(1, 0, 500_000, 0, -1, 4_000_000), UTM, 1.0)


def reason_of(
    polygon: Polygon,
    confidence: float = 0.95,
    status: RegStatus = "regularised",
    touches_edge: bool = False,
) -> tuple[float, str]:
    batch = to_batch([building(polygon, confidence, status, touches_edge)], METRE_FRAME, 1)
    (row,) = reviewed(batch, degrees=False).to_pylist()
    return row["review_score"], row["review_reason"]


def test_a_sure_plain_house_raises_no_doubt() -> None:
    assert reason_of(shapely.box(0, 0, 12, 10)) == (0, "")


def star(points: int) -> Polygon:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    radius = np.where(np.arange(points) % 2, 10.0, 30.0)
    return Polygon(np.column_stack((radius * np.cos(angle), radius * np.sin(angle))))


@pytest.mark.parametrize(
    ("polygon", "options", "reason"),
    [
        (shapely.box(0, 0, 12, 10), {"confidence": 0.5}, "low confidence"),
        (shapely.box(0, 0, 2.5, 2.5), {}, "tiny"),
        (shapely.box(0, 0, 300, 200), {}, "huge"),
        (shapely.box(0, 0, 50, 5), {}, "elongated"),
        (star(20), {}, "ragged"),
        (shapely.Point(0, 0).buffer(10, quad_segs=40), {}, "many vertices"),
        (shapely.box(0, 0, 12, 10), {"status": "kept"}, "shape kept as found"),
        (shapely.box(0, 0, 12, 10), {"touches_edge": True}, "cut by the edge"),
    ],
)
def test_each_doubt_is_named(polygon: Polygon, options: dict[str, object], reason: str) -> None:
    score, reasons = reason_of(polygon, **options)  # type: ignore[arg-type]
    assert reasons.split(", ")[0] == reason
    assert 0 < score <= 1


def test_doubts_add_up_and_the_strongest_is_named_first() -> None:
    one, _ = reason_of(shapely.box(0, 0, 12, 10), status="kept")
    two, reasons = reason_of(shapely.box(0, 0, 12, 10), status="kept", touches_edge=True)
    assert two == pytest.approx(1 - (1 - 0.4) * (1 - 0.2))
    assert two > one
    assert reasons == "shape kept as found, cut by the edge"


def test_elongation_is_seen_in_metres_not_in_degrees() -> None:
    """At 80° north a square house is nearly six times as long in degrees as it is high."""
    frame = GridFrame(Affine(1e-5 / np.cos(np.radians(80)), 0, 20, 0, -1e-5, 80), "EPSG:4326", 1.1)
    batch = to_batch([building(shapely.box(0, 0, 12, 12))], frame, 1)
    assert reviewed(batch, degrees=True)["review_reason"].to_pylist() == [""]


def features(confidences: np.ndarray, first_id: int = 1) -> pa.RecordBatch:
    houses = [
        building(shapely.box(i * 50, 0, i * 50 + 40, 40), float(value))
        for i, value in enumerate(confidences)
    ]
    return to_batch(houses, UTM_FRAME, first_id)


def test_the_worst_are_kept_in_bounded_memory_whatever_the_batches() -> None:
    confidences = np.random.default_rng(1).uniform(0.5, 1, 1000).round(2)
    results = []
    for size in (1000, 7, 130):
        pool = ReviewPool(UTM, limit=50)
        for start in range(0, 1000, size):
            pool.write(features(confidences[start : start + size], 1 + start))
            assert sum(map(len, pool._pool)) <= max(2 * 50 + size, size)
        results.append(pool.worst()["id"].to_pylist())
    expected = np.lexsort((np.arange(1000), confidences))[:50] + 1
    assert results == [expected.tolist()] * 3


def test_the_layer_lists_the_most_doubtful_first(tmp_path: Path) -> None:
    path = tmp_path / "review.gpkg"
    with open_review(path, UTM, metadata={"model": "m"}, limit=3) as writer:
        writer.write(features(np.array([0.9, 0.6, 0.5])))
        writer.write(features(np.array([0.7, 0.99]), 4))
    info, table = pyogrio.read_arrow(path, layer="review")
    rows = rows_of(table)
    assert [row["id"] for row in rows] == [3, 2, 4]
    assert [row["review_reason"] for row in rows] == ["low confidence"] * 3
    assert info["crs"] == UTM


def test_nothing_to_review_gives_an_empty_layer(tmp_path: Path) -> None:
    path = tmp_path / "review.parquet"
    with open_review(path, UTM, metadata={}):
        pass
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    assert len(table) == 0
    assert set(REVIEW_SCHEMA.names) <= set(table.column_names)


def test_an_error_leaves_no_review(tmp_path: Path) -> None:
    with (
        pytest.raises(KeyError),
        open_review(tmp_path / "review.gpkg", UTM, metadata={}) as writer,
    ):
        writer.write(features(np.array([0.5])))
        raise KeyError
    assert not list(tmp_path.iterdir())
