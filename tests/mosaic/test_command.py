"""`buildext mosaic` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildext.mosaic.ledger import open_ledger
from tests.cli.conftest import Call, call
from tests.mosaic import cities
from tests.mosaic.cities import FLAGS

__all__ = ["call"]


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two sheets, and one that is cut off."""
    folder = cities.write_city(tmp_path_factory.mktemp("city") / "in")
    for name in ("sheet_00", "sheet_01", "utm"):
        (folder / f"{name}.tif").unlink()
    broken = folder / "sheet_11.tif"
    broken.write_bytes(broken.read_bytes()[:-2000])
    return folder


def test_plan_run_status_and_retry(call: Call, city: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    planned = call("mosaic", city, "-o", out, *FLAGS, "--plan-only")
    assert planned.code == 0, planned.stderr
    assert "2 files" in planned.stdout
    plan = json.loads((out / "plan.json").read_text("utf-8"))
    page = (out / "plan.html").read_text("utf-8")
    assert len(plan["files"]) == 2 and list(plan["left_out"]) == [str(city / "sheet_11.tif")]
    assert plan["estimate"]["blocks"] == len(plan["blocks"]) == page.count('class="block"')
    assert page.count('class="file"') == 2 and "sheet_11.tif" in page
    assert plan["estimate"]["seconds"] > 0
    assert json.loads(call("mosaic", "status", out, "--json").stdout)["finished"] is False

    done = call("mosaic", city, "-o", out, *FLAGS[:-1], "json")
    assert done.code == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["event"] == "result" and result["features"] > 0 and result["failed"] == {}
    assert result["blocks"] == len(plan["blocks"]) and len(result["damaged"]) == 1

    shown = call("mosaic", "status", out)
    assert shown.code == 0 and "finished" in shown.stdout
    assert "probability" in shown.stdout and "sheet_11.tif" in shown.stdout

    # Mended, it is taken up again, with the options of before.
    whole = cities.write_city(tmp_path / "whole") / "sheet_11.tif"
    (city / "sheet_11.tif").write_bytes(whole.read_bytes())
    again = call("mosaic", "retry", out, "--progress", "json")
    assert again.code == 0, again.stderr
    result = json.loads(again.stdout.splitlines()[-1])
    assert result["damaged"] == [] and result["done"] > 0


def test_a_mosaic_that_is_worked_on_is_left_alone(call: Call, city: Path, tmp_path: Path) -> None:
    with open_ledger(tmp_path):
        refused = call("mosaic", city, "-o", tmp_path, *FLAGS)
        state = json.loads(call("mosaic", "status", tmp_path, "--json").stdout)
    assert refused.code == 2 and "another process" in refused.stderr
    assert state["working"]


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["mosaic", "status", "nowhere"], 3, "no mosaic here"),
        (["mosaic", "retry", "nowhere"], 3, "no mosaic here"),
        (["mosaic", "gone.tif", "-o", "out"], 3, "no such file"),
        (["mosaic", "gone.tif"], 2, "--output"),
        (["mosaic", "a.tif", "-o", "out", "--dask-resource", "GPU"], 2, "needs --dask"),
        (["mosaic", "https://example.org/a.tif", "-o", "out"], 3, "remote"),
    ],
)
def test_what_cannot_be_done_is_said(
    call: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call(*words)
    assert (outcome.code, text in outcome.stderr) == (code, True), outcome.stderr


def test_help_tells_all_forms(call: Call) -> None:
    shown = call("mosaic", "--help").stdout
    assert "status|retry OUT" in shown and "run" in shown
    assert "--workers" in call("mosaic", "run", "--help").stdout
