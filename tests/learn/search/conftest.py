"""A search so small that it takes seconds, on the synthetic town of the other tests."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="a search needs the search extra")

from tests.learn.study.conftest import write_study

# Two kinds a stage, one or two widths, no more than a few hundred networks.
SPACE = """
[space]
half = [8]
condense = [1.0, 2.0]
depths = [3]

[[space.decoders]]
name = "unet"
widths = [16, 16, 8, 8]
head = "subpixel"

[[space.decoders]]
name = "segformer"
widths = [16]

[[space.stages]]
kinds = ["tap", "mask"]
widths = [8, 16]

[[space.stages]]
kinds = ["mbconv", "global"]
widths = [16, 32]
blocks = [1, 2]
pooled = [false, true]
"""
SEARCH = """
name = "tiny"
base = "tiny.toml"
references = ["tu-test_efficientnet"]

[constraints]
latency_ms = {latency_ms}
parameters = 3e5

[engine]
tile_px = 64
threads = 1
precision = "f32"

[generator]
kind = "{kind}"
turns = 2
proposals = 6
chosen = 1
population = 4

[budget]
steps = 4
final_steps = 6
finalists = 1
"""


def write_search(folder: Path, kind: str = "nsga2", latency_ms: float = 1000.0) -> Path:
    """The search, its training config and its data below `folder`; returns the search's file."""
    write_study(folder)
    path = folder / "search.toml"
    path.write_text(SEARCH.format(kind=kind, latency_ms=latency_ms) + SPACE)
    return path


@pytest.fixture
def search_file(tmp_path: Path) -> Path:
    return write_search(tmp_path / "search")
