"""What a model can be run in here."""

from __future__ import annotations

import pytest

from buildext.benchmark.arms import Arm, arms_of
from buildext.errors import UsageError
from buildext.models.store import Model, load_model


def quantised_in_name(model: Model) -> Model:
    """The model with a card that says it is quantised."""
    training = {**model.card.training, "quantisation": {"precision": "w8a8"}}
    return Model(model.folder, model.card.model_copy(update={"training": training}))


def test_a_float_model_runs_in_every_engine() -> None:
    model = load_model("default")
    arms = arms_of([("default", model)], ["onnxruntime", "torch"])
    assert {(arm.engine, arm.arithmetic) for arm in arms} >= {
        ("onnxruntime", "f32"),
        ("torch", "f32"),
    }
    assert str(arms[0]) == f"{model.card.name} · onnxruntime f32"


def test_a_quantised_model_does_not_run_in_torch() -> None:
    model = quantised_in_name(load_model("default"))
    (arm,) = arms_of([("default", model)], ["onnxruntime", "torch"])
    assert (arm.engine, arm.arithmetic) == ("onnxruntime", "int8, rest f32")
    with pytest.raises(UsageError, match="none of these models runs in torch"):
        arms_of([("default", model)], ["torch"])


def test_equal_names_are_told_apart() -> None:
    model = load_model("default")
    arms = arms_of([("one", model), ("two", model)], ["onnxruntime"])
    name = model.card.name
    assert [arm.name for arm in arms] == [f"{name} (one)", f"{name} (two)"]


def test_an_engine_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("buildext.benchmark.arms.installed_engines", lambda: ("onnxruntime",))
    with pytest.raises(UsageError, match="installed here are onnxruntime"):
        arms_of([("default", load_model("default"))], ["torch"])


def test_an_arm_says_what_it_computes_in() -> None:
    assert str(Arm("a", "a", "openvino", "bf16", True)) == "a · openvino int8, rest bf16"
