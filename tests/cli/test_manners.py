"""How the command line behaves: light, talkative where it should be, quiet where asked."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pytest

from tests import real
from tests.cli.conftest import Call
from tests.cli.process import environment, finish, python, start

HEAVY = (
    "torch", "openvino", "onnxruntime", "dask", "geopandas", "rasterio", "pydantic", "pyogrio",
    "numpy", "scipy", "shapely", "pyarrow", "pyproj",
)  # fmt: skip


def count(path: Path) -> int:
    """Features in the first layer; a GeoPackage has a second one, with the style."""
    if path.suffix == ".parquet":  # not every GDAL reads it
        return pq.read_metadata(path).num_rows
    return int(pyogrio.read_info(path, layer=0, force_feature_count=True)["features"])


@pytest.mark.parametrize(
    "code",
    [
        "import buildext",
        "from buildext.cli.main import run; assert run(['--help']) == 0",
        "from buildext.cli.main import run; assert run(['extract', '--help']) == 0",
        "from buildext.cli.main import run; assert run(['train', '--help']) == 0",
        "from buildext.cli.main import run; assert run(['--version']) == 0",
    ],
)
def test_asking_for_help_imports_nothing_heavy(code: str) -> None:
    done = python(f"{code}\nimport sys\nprint('MODULES', *sys.modules)")
    loaded = done.stdout.split("MODULES ")[-1].split()
    assert "buildext" in loaded
    assert set(loaded).isdisjoint(HEAVY)


def test_the_module_is_the_command(tmp_path: Path) -> None:
    code, stdout, _ = finish(start("--help"))
    assert code == 0
    for command in ("extract", "evaluate", "train", "models", "doctor"):
        assert f"\n  {command}" in stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_is_generated(shell: str) -> None:
    process = start(env=environment(_BUILDEXT_COMPLETE=f"{shell}_source"))
    code, stdout, stderr = finish(process)
    assert code == 0, stderr
    assert "_BUILDEXT_COMPLETE" in stdout


def test_completion_completes() -> None:
    env = environment(
        _BUILDEXT_COMPLETE="bash_complete", COMP_WORDS="buildext extract --over", COMP_CWORD="2"
    )
    _, stdout, _ = finish(start(env=env))
    assert set(stdout.split()) == {"plain,--overlap", "plain,--overwrite"}


def test_json_progress_is_one_event_a_line(call: Call, out: Path) -> None:
    options = ["--tile", "256", "--overlap", "32", "--progress", "json"]
    outcome = call("extract", real.SCENE, "-o", out / "a.gpkg", *options)
    assert outcome.code == 0, outcome.stderr
    events = [json.loads(line) for line in outcome.stdout.splitlines()]
    told = [event for event in events if event["event"] == "progress"]
    done = [event["done"] for event in told]
    assert len(done) >= 4
    assert done[0] == 0
    assert done == sorted(done)
    assert done[-1] == pytest.approx(told[-1]["total"])
    (result,) = (event for event in events if event["event"] == "result")
    assert events[-1] == result
    assert result["output"] == str(out / "a.gpkg")
    assert result["features"] == count(out / "a.gpkg") > 30
    assert outcome.stderr == ""


@pytest.mark.parametrize("option", [["--progress", "json"], ["--progress=json"]])
def test_json_progress_tells_errors_too(
    call: Call, out: Path, tmp_path: Path, option: list[str]
) -> None:
    outcome = call("extract", tmp_path / "nowhere.tif", "-o", out / "a.gpkg", *option)
    (line,) = outcome.stdout.splitlines()
    error = json.loads(line)
    assert error["event"] == "error"
    assert error["code"] == outcome.code == 3
    assert "nowhere.tif" in error["message"]
    assert error["hint"]
    assert outcome.stderr == ""


def test_json_progress_tells_usage_errors_too(call: Call) -> None:
    outcome = call("extract", "--progress", "json")
    assert json.loads(outcome.stdout)["code"] == outcome.code == 2


def test_dry_run_says_everything_and_writes_nothing(
    call: Call, out: Path, small_scene: Path
) -> None:
    outputs = ["-o", out / "a.gpkg", "--probability", out / "p.tif", "--review", out / "r.gpkg"]
    outcome = call("extract", small_scene, *outputs, "--gsd", "0.1", "--dry-run")
    assert outcome.code == 0
    text = " ".join(outcome.stderr.split())
    # 320 px of 0.0746 m are 239 and 238 px of 0.1 m: the Earth is flattened.
    for word in ("239×238 px", "0.100 m", "0.074 m", "openvino", "memory", "disk", "free"):
        assert word in text
    assert list(out.iterdir()) == []


def test_dry_run_still_refuses(call: Call, out: Path, small_scene: Path) -> None:
    (out / "a.gpkg").write_bytes(b"old")
    assert call("extract", small_scene, "-o", out / "a.gpkg", "--dry-run").code == 2


@pytest.mark.parametrize("suffix", [".gpkg", ".parquet", ".fgb", ".geojson"])
def test_no_building_is_a_result_not_an_error(
    call: Call, out: Path, small_scene: Path, suffix: str
) -> None:
    path = out / f"a{suffix}"
    outcome = call("extract", small_scene, "-o", path, "--min-area", 1e6)
    assert outcome.code == 0
    assert "no building found" in outcome.stderr
    assert count(path) == 0


def test_quiet_says_nothing(call: Call, out: Path, small_scene: Path) -> None:
    outcome = call("extract", small_scene, "-o", out / "a.gpkg", "-q")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "")


def test_verbose_shows_the_log(call: Call, out: Path, small_scene: Path) -> None:
    call("extract", small_scene, "-o", out / "a.gpkg", "-v", "--dry-run")
    assert logging.getLogger("buildext").level == logging.INFO
    call("extract", small_scene, "-o", out / "a.gpkg", "-vv", "--dry-run")
    assert logging.getLogger("buildext").level == logging.DEBUG


def test_panchromatic_and_16_bit_scenes_need_no_option(
    call: Call, out: Path, tmp_path: Path
) -> None:
    image = real.pixels(1024)[:, 256:768, 256:768]
    grey = image.mean(axis=0).astype(np.uint8)[None]
    deep = (image.astype(np.uint16) * 7) + 30
    counts = {}
    for name, pixels in {"rgb": image, "grey": grey, "deep": deep}.items():
        scene = real.write_raster(tmp_path / f"{name}.tif", pixels)
        outcome = call("extract", scene, "-o", out / f"{name}.gpkg")
        assert outcome.code == 0, outcome.stderr
        counts[name] = count(out / f"{name}.gpkg")
    assert counts["rgb"] >= 10
    # Colour and the stretch matter a little, the buildings are there all the same.
    assert min(counts.values()) >= 0.5 * max(counts.values()), counts


def test_an_area_bounds_what_is_found(call: Call, out: Path) -> None:
    import rasterio

    with rasterio.open(real.SCENE) as scene:
        west, south, east, north = scene.bounds
    middle = (west + east) / 2
    box = f"{west},{south},{middle},{north}"
    outcome = call("extract", real.SCENE, "-o", out / "a.gpkg", "--aoi", box)
    assert outcome.code == 0, outcome.stderr
    ids, bounds = pyogrio.read_bounds(out / "a.gpkg", layer=0)
    tolerance_m = 1.0
    assert len(ids) > 10
    assert bounds[2].max() <= middle + tolerance_m


def test_scores_come_with_the_run(call: Call, out: Path) -> None:
    reference = real.SCENE.with_name("buildings.gpkg")
    options = ["--reference", reference, "--progress", "json"]
    outcome = call("extract", real.SCENE, "-o", out / "a.gpkg", *options)
    assert outcome.code == 0, outcome.stderr
    events = [json.loads(line) for line in outcome.stdout.splitlines()]
    (scores,) = (event for event in events if event["event"] == "scores")
    assert scores["evaluation"]
    plain = call("extract", real.SCENE, "-o", out / "b.gpkg", "--reference", reference)
    assert "IoU" in plain.stdout


def test_models_list(call: Call) -> None:
    outcome = call("models", "list")
    assert outcome.code == 0
    assert "default" in outcome.stdout
    rows = json.loads(call("models", "list", "--json").stdout)
    models = {row["name"]: row for row in rows}
    assert set(models) == {"accurate", "default"}
    assert models["default"]["channels"][0] == "building"
    assert models["default"]["megabytes"] < 14
    assert models["default"]["second_scale"] is None
    # The same file, used in another way.
    assert models["accurate"]["weights_of"] == "default"
    assert models["accurate"]["second_scale"] == 1.5


def test_models_show_and_verify(call: Call) -> None:
    card = json.loads(call("models", "show", "default").stdout)
    assert card["schema_version"] == 1
    assert card["training_data"]
    assert all(data["licence"] for data in card["training_data"])
    outcome = call("models", "verify")
    assert outcome.code == 0
    assert "default: model.onnx, rehearsal.jpg verified" in outcome.stdout
    assert call("models", "verify", "nothing-like-it").code == 4


def test_doctor_reports_in_a_form_to_paste(call: Call) -> None:
    outcome = call("doctor")
    assert outcome.code == 0, outcome.stderr
    for section in ("versions", "machine", "engines", "gdal", "models", "disk"):
        assert f"{section}:\n  " in outcome.stdout
    facts = json.loads(call("doctor", "--json").stdout)
    assert facts["versions"]["buildext"]
    assert facts["models"]["default"].endswith("verified")
    assert "CPU" in facts["engines"]["openvino"]
    assert "missing" not in facts["gdal"]["vector drivers"]
