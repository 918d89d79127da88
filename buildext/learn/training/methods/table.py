"""The methods by name."""

from __future__ import annotations

from collections.abc import Callable

from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.engine.workshop import Workshop
from buildext.learn.training.methods import adapt, align, dml, kd, sda, supervised

Method = Callable[[Workshop], Sight]


METHODS: dict[str, Method] = {
    "supervised": supervised.train,
    "sda": sda.train,
    "kd": kd.train,
    "dml": dml.train,
    "align": align.train,
    "align+sda": align.train_then_adapt,
    "sda+align": align.adapt_then_align,
    "adapt": adapt.train,
}
