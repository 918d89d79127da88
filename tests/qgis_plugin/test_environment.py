"""Finding a Python, looking into environments, making one: what needs no QGIS and no network."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qgis_plugin.buildext_qgis.environment import (
    MARK,
    NEWEST_PYTHON,
    OLDEST_PYTHON,
    EnvironmentProblemError,
    Interpreter,
    check_versions,
    find_interpreters,
    interpreter_at,
    is_complete,
    look_into,
    mark,
    python_in,
)
from qgis_plugin.buildext_qgis.installation import Plan, bundled_wheel, check_plan, install
from qgis_plugin.buildext_qgis.runner import CancelledError, ToolError
from tests.cli.process import PATIENCE_S
from tests.real import ROOT

HERE = Interpreter(Path(sys.executable), sys.version_info[:3])


def plan(folder: Path, **options: object) -> Plan:
    return Plan(HERE, folder, Path("buildext-0.0.0-py3-none-any.whl"), **options)  # type: ignore[arg-type]


def test_a_python_is_found_and_is_new_enough() -> None:
    found = find_interpreters()
    assert found
    assert all(one.version[:2] >= OLDEST_PYTHON for one in found)
    assert len({one.path for one in found}) == len(found)


def test_this_python_can_be_pointed_at() -> None:
    assert interpreter_at(Path(sys.executable)).version == sys.version_info[:3]
    with pytest.raises(EnvironmentProblemError, match="not a Python that runs"):
        interpreter_at(ROOT / "README.md")


def test_the_packages_own_requirement_is_the_oldest_python() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    assert f'requires-python = ">={OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]}"' in text
    assert NEWEST_PYTHON >= OLDEST_PYTHON


def test_a_folder_without_python_or_without_buildext_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblemError, match="there is no"):
        look_into(tmp_path)
    folder = tmp_path / "Umgebung für Häuser"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    with pytest.raises(EnvironmentProblemError, match="buildext is not installed"):
        look_into(folder)


@pytest.mark.parametrize(("package", "fits"), [("0.1.0", True), ("0.1.7", True), ("0.2.0", False)])
def test_plugin_and_package_must_fit(package: str, fits: bool) -> None:
    if fits:
        check_versions("0.1.3", package)
    else:
        with pytest.raises(EnvironmentProblemError, match=r"0\.2\.0"):
            check_versions("0.1.3", package)


def test_only_a_finished_environment_is_complete(tmp_path: Path) -> None:
    assert not is_complete(tmp_path)
    python_in(tmp_path).parent.mkdir(parents=True)
    python_in(tmp_path).touch()
    mark(tmp_path, complete=False)
    assert not is_complete(tmp_path)
    mark(tmp_path, complete=True)
    assert is_complete(tmp_path)
    (tmp_path / MARK).write_text("damaged")
    assert not is_complete(tmp_path)


def test_a_folder_of_somebody_else_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / "pyvenv.cfg").touch()
    with pytest.raises(EnvironmentProblemError, match="holds something else"):
        install(plan(tmp_path), print, print, lambda: False)
    assert [path.name for path in tmp_path.iterdir()] == ["pyvenv.cfg"]


def test_an_empty_folder_of_wheels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblemError, match="no wheels"):
        check_plan(plan(tmp_path / "new", offline=tmp_path))


def test_what_a_failed_set_up_made_is_removed(tmp_path: Path) -> None:
    folder, wheels = tmp_path / "env mit ä", tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "other-1-py3-none-any.whl").touch()
    said: list[str] = []
    begun: list[str] = []
    with pytest.raises(ToolError):
        install(
            plan(folder, offline=wheels),
            begun.append,
            lambda event: said.append(event["message"]),
            lambda: False,
        )
    assert begun == ["environment", "packages"]
    assert any("buildext-0.0.0" in line for line in said)
    assert not folder.exists()


def test_what_a_cancelled_set_up_made_is_removed(tmp_path: Path) -> None:
    folder = tmp_path / "env"
    with pytest.raises(CancelledError):
        install(plan(folder), print, print, lambda: (folder / MARK).exists())
    assert not folder.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="process groups of POSIX")
def test_a_set_up_ends_with_its_parent(tmp_path: Path) -> None:
    # A module that would go on for ever stands for pip.
    caller = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from qgis_plugin.buildext_qgis.installation import watched
from qgis_plugin.buildext_qgis.runner import run
options = ["0", "--bind", "127.0.0.1", "--directory", {str(tmp_path)!r}]
line = [*watched(Path(sys.executable)), "http.server", *options]
run(line, lambda event: print(event, flush=True))
"""
    process = subprocess.Popen([sys.executable, "-c", caller], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        assert "Serving" in process.stdout.readline()
        (child,) = processes_with(str(tmp_path))
        process.kill()
    end = time.monotonic() + PATIENCE_S
    while child in processes_with(str(tmp_path)):
        assert time.monotonic() < end, "still running"
        time.sleep(0.02)


def processes_with(text: str) -> list[int]:
    """Processes with an argument that is `text`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if text in (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0"):
                found.append(int(folder.name))
    return found


def test_where_packages_come_from(tmp_path: Path) -> None:
    def pip(**options: object) -> list[str]:
        return dict(plan(tmp_path, **options).steps())["packages"]

    assert "--only-binary=:all:" in pip()
    assert "--index-url" not in pip() and "--no-index" not in pip()
    assert pip(index="https://pip.example/simple")[-3:-1] == [
        "--index-url",
        "https://pip.example/simple",
    ]
    assert {"--no-index", "--find-links"} <= set(pip(offline=tmp_path))
    assert pip()[-1].endswith("[report]")


def test_the_source_tree_says_that_it_carries_no_wheel(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblemError, match="carries no wheel"):
        bundled_wheel(tmp_path)


def test_the_mark_is_json(tmp_path: Path) -> None:
    mark(tmp_path, complete=True)
    assert json.loads((tmp_path / MARK).read_text("utf-8")) == {"complete": True}
