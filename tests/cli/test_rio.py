"""`rio buildext`: the same command line from rasterio's."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from buildext.cli.main import rio_plugin


def test_the_entry_point_names_the_command() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    entry = project["project"]["entry-points"]["rasterio.rio_plugins"]["buildext"]
    assert entry == f"{rio_plugin.callback.__module__}:rio_plugin"  # type: ignore[union-attr]
    assert rio_plugin.name == "buildext"


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        (["--help"], 0, "extract"),
        (["extract", "--help"], 0, "--regularize"),
        (["models", "show", "no_such_model"], 4, "no_such_model"),
    ],
)
def test_it_behaves_as_the_program_does(line: list[str], code: int, text: str) -> None:
    result = CliRunner().invoke(rio_plugin, line)
    assert result.exit_code == code
    assert text in result.output
