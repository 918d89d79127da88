"""The named list, its stored figures and the command that prints it."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from buildext.cli.encoders import encoders
from buildext.learn.networks.catalogue import (
    FAMILIES,
    listed_names,
    measure_figures,
    read_catalogue,
)
from buildext.learn.networks.registry import own_family, own_names, smp_names, timm_names


def test_the_list_is_long_and_every_name_is_known() -> None:
    names = listed_names()
    assert len(names) == len(set(names)) >= 60
    assert set(names) <= {*own_names(), *smp_names(), *timm_names()}
    families = {own_family(name) for name in names} - {None}
    assert families == {own_family(name) for name in own_names()}


def test_every_listed_encoder_has_figures_and_no_other() -> None:
    listed = read_catalogue()
    assert [one.name for one in listed] == list(listed_names())
    assert {one.family for one in listed} == {family.name for family in FAMILIES}
    for one in listed:
        assert one.figures.strides[-1] == 32
        assert len(one.figures.strides) == len(one.figures.widths) >= 4


@pytest.mark.parametrize(
    "name", ["tu-mobilenetv2_100", "resnet18", "efficientvit_m0", "tu-fasternet_t0", "hiera_tiny"]
)
def test_stored_figures_are_what_is_measured(name: str) -> None:
    stored = next(one for one in read_catalogue() if one.name == name)
    assert measure_figures(name) == stored.figures


def test_the_command_prints_the_list() -> None:
    rows = json.loads(CliRunner().invoke(encoders, ["--json"]).stdout)
    assert [row["name"] for row in rows] == list(listed_names())
    by_name = {row["name"]: row for row in rows}
    assert by_name["tu-tf_efficientnetv2_b0"]["weights"] == "tf_efficientnetv2_b0.safetensors"
    assert by_name["vgg19"]["weights"] is None
    assert by_name["resnet18"]["strides"] == [2, 4, 8, 16, 32]
    table = CliRunner().invoke(encoders, [], env={"COLUMNS": "160"}).stdout
    assert "efficientvit_m0" in table
    names = CliRunner().invoke(encoders, ["--all"]).stdout.split()
    assert {"tu-resnet50", "mit_b5", "shvit_s4"} <= set(names)


def test_the_list_needs_no_torch() -> None:
    code = (
        "import sys; sys.argv[1:] = ['encoders'];"
        "from buildext.cli.main import run; run(['encoders', '--json']);"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
