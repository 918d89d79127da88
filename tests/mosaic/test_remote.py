"""Files behind HTTP: read in parts, with a word, as if they lay here."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import rasterio.shutil

from buildext.errors import SceneError
from tests import real
from tests.mosaic import cities
from tests.mosaic.cities import OPTIONS, read, run


class Ranges(SimpleHTTPRequestHandler):
    """Serves files, and parts of them."""

    log: list[tuple[str, str]] = []  # noqa: RUF012 - shared by all requests on purpose

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.log.append((self.path, wanted or ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(int(last or len(content) - 1), len(content) - 1) + 1
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        self.wfile.write(content[start:stop])

    def end_headers(self) -> None:
        self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which it is served."""
    folder = tmp_path / "served"
    folder.mkdir()
    Ranges.log.clear()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_cogs_behind_http_give_what_local_files_give(
    served: tuple[Path, str], tmp_path: Path, loopback: None
) -> None:
    folder, address = served
    image = real.pixels(320)
    for name, part, shift in (("a", image[:, :, :200], 0), ("b", image[:, :, 180:], 180)):
        plain = real.write_raster(tmp_path / f"{name}.tif", part, offset_px=(shift, 0))
        # Not compressed, so that the files are larger than what GDAL takes at a time.
        rasterio.shutil.copy(plain, folder / f"{name}.tif", driver="COG", blocksize=128)
    items = [
        {
            "type": "Feature",
            "id": name,
            "properties": {"datetime": f"2020-01-0{day}T00:00:00Z"},
            "assets": {"image": {"href": f"{name}.tif", "type": "image/tiff"}},
        }
        for day, name in enumerate("ab", 1)
    ]
    pages = [{"type": "FeatureCollection", "features": [one]} for one in items]
    pages[0]["links"] = [{"rel": "next", "href": "second.json"}]
    (folder / "items.json").write_text(json.dumps(pages[0]))
    (folder / "second.json").write_text(json.dumps(pages[1]))

    with pytest.raises(SceneError, match="remote"):
        run([f"{address}/items.json"], tmp_path / "refused")
    remote = replace(OPTIONS, extract=replace(OPTIONS.extract, allow_remote=True))
    result = run([f"{address}/items.json"], tmp_path / "remote", remote)
    assert result.exit_code == 0 and not result.damaged
    run([str(folder / name) for name in ("items.json", "second.json")], tmp_path / "local")
    there, here = read(tmp_path / "remote"), read(tmp_path / "local")
    assert there.probability.keys() == here.probability.keys()
    for block, image in here.probability.items():
        np.testing.assert_array_equal(there.probability[block], image)
        np.testing.assert_array_equal(there.source[block], here.source[block])
    # In parts, and nothing else was looked for beside the files.
    asked = {path for path, _ in Ranges.log}
    assert asked == {"/items.json", "/second.json", "/a.tif", "/b.tif"}
    assert all(wanted for path, wanted in Ranges.log if path.endswith(".tif"))


def test_a_file_that_the_server_lost_is_left_out(served: tuple[Path, str], tmp_path: Path) -> None:
    folder, address = served
    real.write_raster(folder / "a.tif", real.pixels(200))
    options = cities.with_extract(allow_remote=True)
    names = [f"{address}/a.tif", f"{address}/gone.tif"]
    result = run(names, tmp_path / "out", options)
    assert len(result.damaged) == 1 and "gone.tif" in result.damaged[0]
    assert result.pixels > 0
