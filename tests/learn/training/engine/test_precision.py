"""What a training computes in follows from the device, unless the config says it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from buildext.learn.networks.arithmetic import has_bf16
from buildext.learn.training.config import MachineSection
from buildext.learn.training.engine.precision import precision_of, warn_if_emulated

CPU = torch.device("cpu")
OLD = {"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}


def let_the_processor_be(monkeypatch: pytest.MonkeyPatch, able: Mapping[str, object]) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)


@pytest.mark.parametrize(
    "able",
    [
        OLD | {"avx512_bf16": True},
        OLD | {"amx_bf16": True},
        {"architecture": "arm64", "neon": True, "bf16": True},
        {"architecture": "arm64", "sve": True, "sve_bf16": True},
    ],
)
def test_auto_is_bfloat16_where_there_are_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, able: Mapping[str, object]
) -> None:
    let_the_processor_be(monkeypatch, able)
    assert precision_of(MachineSection(), CPU) == torch.bfloat16
    assert precision_of(MachineSection(precision="float32"), CPU) == torch.float32


def test_auto_is_float32_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    let_the_processor_be(monkeypatch, OLD)
    assert precision_of(MachineSection(), CPU) == torch.float32
    assert precision_of(MachineSection(precision="bf16"), CPU) == torch.bfloat16


def test_a_training_that_will_crawl_is_announced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    let_the_processor_be(monkeypatch, OLD)
    warn_if_emulated(torch.float32, CPU)
    assert not caplog.records
    warn_if_emulated(torch.bfloat16, CPU)
    assert "auto would choose" in caplog.text


def test_other_devices_are_not_assumed_to_have_it() -> None:
    assert not has_bf16(torch.device("mps"))


def test_this_processor_says_whether_it_has_it() -> None:
    """The names asked for are the ones that torch uses, on the architecture of this machine."""
    able = torch.cpu.get_capabilities()
    x86 = able["architecture"] == "x86_64"
    assert {"avx512_bf16", "amx_bf16"} <= able.keys() if x86 else "bf16" in able
    assert has_bf16(CPU) == any(able.get(n) for n in ("avx512_bf16", "amx_bf16", "bf16"))
