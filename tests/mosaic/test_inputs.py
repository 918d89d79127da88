"""From names to files: folders, patterns, lists, indexes, catalogues, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely

from buildext.errors import InputError, MissingInputError, SceneError
from buildext.mosaic.inputs import Input, Listing, list_inputs
from buildext.mosaic.survey import Surveyed, in_order
from buildext.mosaic.tile_index import iso_time

LOCAL = Listing()


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def stems(names: list[Any], listing: Listing = LOCAL) -> list[str]:
    return [Path(one.name).stem for one in list_inputs([str(name) for name in names], listing)]


def test_folders_patterns_and_files_each_once(tmp_path: Path) -> None:
    for name in ("b/deep/4.tif", "b/3.jp2", "a/1.tif", "a/2.tif", "a/.1.tif", "a/notes.txt"):
        touch(tmp_path / name)
    touch(tmp_path / "a" / "out" / "probability" / "9.tif")
    assert stems([tmp_path / "a/2.tif", tmp_path / "a"], Listing(without=tmp_path / "a/out")) == [
        "2",
        "1",
    ]
    assert stems([tmp_path / "b"]) == ["3", "4"]
    assert stems([tmp_path / "**" / "[14].tif"]) == ["1", "4"]


def test_a_list_is_relative_to_itself(tmp_path: Path) -> None:
    touch(tmp_path / "x" / "1.tif", tmp_path / "2.tif")
    names = tmp_path / "names.txt"
    names.write_text(f"# city\nx/1.tif\n\n{tmp_path / '2.tif'}\n")
    assert stems([names]) == ["1", "2"]
    names.write_text("gone.tif\n")
    with pytest.raises(MissingInputError, match=r"gone\.tif"):
        stems([names])


def write_index(path: Path, fields: dict[str, list[Any]]) -> Path:
    count = len(next(iter(fields.values())))
    boxes = shapely.to_wkb([shapely.box(k, 0, k + 1, 1) for k in range(count)])
    pyogrio.raw.write(
        path,
        np.array(boxes, object),
        [np.array(values) for values in fields.values()],
        list(fields),
        geometry_type="Polygon",
        crs="EPSG:4326",
    )
    return path


@pytest.mark.parametrize("suffix", [".gpkg", ".shp"])
def test_a_tile_index_tells_times_tilts_and_ranks(tmp_path: Path, suffix: str) -> None:
    fields = {
        "location": ["1.tif", "in/2.tif"],
        "datetime": ["2021-02-03T04:05:06Z", "2020/01/02"],
        "off_nadir": [12.5, 3.0],
        "cloud": [7.0, 9.0],
    }
    index = write_index(tmp_path / f"index{suffix}", fields)
    found = list_inputs([str(index)], Listing(field="cloud"))
    assert [one.name for one in found] == [str(tmp_path / "1.tif"), str(tmp_path / "in/2.tif")]
    assert [one.acquired for one in found] == ["2021-02-03T04:05:06", "2020-01-02T00:00:00"]
    assert [(one.off_nadir_deg, one.rank) for one in found] == [(12.5, 7.0), (3.0, 9.0)]
    with pytest.raises(InputError, match="no field 'sharp'"):
        list_inputs([str(index)], Listing(field="sharp"))
    other = write_index(tmp_path / f"other{suffix}", {"name": ["1.tif"]})
    with pytest.raises(InputError, match="location"):
        list_inputs([str(other)], LOCAL)


def item(name: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": name,
        "properties": {"datetime": "2022-01-01T00:00:00Z", **properties},
        "assets": {
            "thumbnail": {"href": f"{name}.png", "type": "image/png"},
            "raw": {"href": f"./{name}_raw.tif", "type": "image/tiff; application=geotiff"},
            "image": {
                "href": f"./{name}.tif",
                "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                "roles": ["visual"],
            },
        },
    }


def test_a_stac_collection(tmp_path: Path) -> None:
    items = [item("a", **{"view:off_nadir": 20}), item("b", platform="eye-1", quality=3)]
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    found = list_inputs([str(path)], Listing(field="quality"))
    assert found == [
        Input(str(tmp_path / "a.tif"), "2022-01-01T00:00:00", 20.0, None, ""),
        Input(str(tmp_path / "b.tif"), "2022-01-01T00:00:00", None, 3.0, "eye-1"),
    ]
    assert stems([path], Listing(asset="raw")) == ["a_raw", "b_raw"]
    with pytest.raises(InputError, match="no asset 'x'; expected one of thumbnail, raw, image"):
        stems([path], Listing(asset="x"))
    path.write_text("[1, 2]")
    with pytest.raises(InputError, match="expected a STAC item"):
        stems([path])


@pytest.mark.parametrize("name", ["https://example.org/a.tif", "/vsicurl/x.tif", "s3://b/c.tif"])
def test_remote_names_need_a_word(tmp_path: Path, name: str) -> None:
    listing = tmp_path / "names.txt"
    listing.write_text(f"{name}\n")
    index = write_index(tmp_path / "index.gpkg", {"location": [name]})
    for given in (name, str(listing), str(index)):
        with pytest.raises(SceneError, match="remote source"):
            list_inputs([given], LOCAL)
    (found,) = list_inputs([name], Listing(allow_remote=True))
    assert found.name.startswith("/vsi")


def test_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="no such file"):
        stems([tmp_path / "*.tif"])
    with pytest.raises(MissingInputError, match="no raster in this folder"):
        stems([tmp_path])


def surveyed(**given: Any) -> Surveyed:
    return Surveyed(Input(**given), "", None)


def test_order_of_precedence() -> None:
    files = [
        surveyed(name="a", acquired="2020-01-01T00:00:00", off_nadir_deg=-3.0, rank=1.0),
        surveyed(name="b", acquired="", off_nadir_deg=None, rank=10.0),
        surveyed(name="c", acquired="2021-01-01T00:00:00", off_nadir_deg=2.0, rank=None),
        surveyed(name="d", acquired="2021-01-01T00:00:00", off_nadir_deg=30.0, rank=9.0),
    ]

    def order(by: str) -> str:
        return "".join(file.name for file in in_order(files, by))

    assert order("newest") == "cdab"
    assert order("given") == "abcd"
    assert order("nadir") == "cadb"
    assert order("some_field") == "bdac"


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2019:05:04 10:11:12", "2019-05-04T10:11:12"),
        ("2019-05-04", "2019-05-04T00:00:00"),
        ("2019/05/04 10:11:12+00", "2019-05-04T10:11:12"),
        ("yesterday", ""),
        (None, ""),
        ("", ""),
    ],
)
def test_times(text: str | None, time: str) -> None:
    assert iso_time(text) == time
