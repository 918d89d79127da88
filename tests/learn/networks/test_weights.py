"""Published weights load strictly; the files are not part of the repository.

BUILDEXT_WEIGHTS=/path/to/weights pytest tests/learn/networks/test_weights.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from buildext.learn.networks.loading import load_encoder, normalisation_of_weights
from buildext.learn.networks.normalisation import KNOWN_FILES
from buildext.learn.networks.registry import build_encoder

VARIABLE = "BUILDEXT_WEIGHTS"


@pytest.mark.parametrize("name", KNOWN_FILES)
def test_a_published_file_fills_its_encoder(name: str) -> None:
    if VARIABLE not in os.environ:
        pytest.skip(f"set {VARIABLE} to the folder that holds {name}.safetensors")
    path = Path(os.environ[VARIABLE]) / f"{name}.safetensors"
    encoder = build_encoder(f"tu-{name}", 5)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    load_encoder(encoder, path)
    changed = [k for k, v in encoder.state_dict().items() if not v.equal(before[k])]
    weights = [k for k, v in before.items() if v.dim() == 4]
    assert set(weights) <= set(changed)
    assert normalisation_of_weights(path) == KNOWN_FILES[name]
