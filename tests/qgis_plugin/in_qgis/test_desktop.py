"""The desktop under a virtual display: from a clean profile to footprints, by the mouse."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.qgis_plugin.in_qgis import support

HERE = Path(__file__).parent / "desktop"
PROGRAMS = ("xvfb-run", "openbox", "import")
PROFILE = """[app]
checkVersion=false
[migration]
fileVersion=2
[PythonPlugins]
processing=true
[locale]
overrideFlag=true
userLocale=en_US
[qgis]
enableMacros=Never
"""


def needs(condition: object, reason: str) -> None:
    if not condition:
        if os.environ.get("BUILDEXT_REQUIRE_QGIS"):
            pytest.fail(reason)
        pytest.skip(reason)


def test_from_a_clean_profile_to_footprints(tmp_path: Path) -> None:
    archive = os.environ.get("BUILDEXT_PLUGIN_ZIP", "")
    needs(archive, "BUILDEXT_PLUGIN_ZIP names no zip")
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    needs(not missing, f"not installed: {missing}")
    desktop = shutil.which("qgis.bin") or shutil.which("qgis")
    needs(desktop, "the QGIS desktop is not installed")
    shots = Path(os.environ.get("BUILDEXT_SHOTS", tmp_path / "shots"))
    shots.mkdir(parents=True, exist_ok=True)
    profile = tmp_path / "Profil von Jürgen"
    settings = profile / "profiles" / "default" / "QGIS" / "QGIS3.ini"
    settings.parent.mkdir(parents=True)
    settings.write_text(PROFILE)
    scenario = tmp_path / "scenario.json"
    report = tmp_path / "report.json"
    plan = {
        "zip": archive,
        "scene": str(support.SCENE),
        "shots": str(shots),
        "report": str(report),
        "environment": os.environ.get("BUILDEXT_ENVIRONMENT", ""),
    }
    scenario.write_text(json.dumps(plan), "utf-8")
    variables = {**os.environ, "LIBGL_ALWAYS_SOFTWARE": "1", "BUILDEXT_SCENARIO": str(scenario)}
    for name in ("QGIS_PLUGINPATH", "QGIS_CUSTOM_CONFIG_PATH", "QT_QPA_PLATFORM"):
        variables.pop(name, None)
    ended = subprocess.run(
        [
            "xvfb-run", "-a", "-s", "-screen 0 1280x800x24", str(HERE / "on_display.sh"),
            str(desktop), "--noversioncheck", "--nologo", "--profiles-path", str(profile),
            "--code", str(HERE / "scenario.py"),
        ],
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=1500,
    )  # fmt: skip
    said = json.loads(report.read_text("utf-8")) if report.exists() else {}
    assert ended.returncode == 0, f"{said.get('error')}\n{ended.stdout}\n{ended.stderr}"
    (shots / "report.json").write_text(json.dumps(said, indent=2, ensure_ascii=False), "utf-8")
    assert said["features"] > 20 and said["styled"]
    assert said["dialog features"] > 50 and said["dialog styled"]
    assert len(said["batch features"]) == 3 and min(said["batch features"]) > 3
    # Set up…, Set up, Done, Try it.
    assert said["clicks to first footprints"] == (1 if plan["environment"] else 4)
    assert said["longest standstill"] < 5, "the desktop stood still"
    wanted = {"dialog", "running", "result", "try-it", "batch"}
    assert {path.stem for path in shots.glob("*.png")} >= wanted
