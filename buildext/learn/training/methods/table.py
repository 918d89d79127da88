"""The methods by name."""

from __future__ import annotations

from collections.abc import Callable

from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.engine.workshop import Workshop
from buildext.learn.training.methods import adapt, dml, kd, sda, supervised

Method = Callable[[Workshop], Sight]


def _align(shop: Workshop) -> Sight:
    # Alignment needs shapely, which a machine that trains from packed tiles may lack.
    from buildext.learn.training.methods import align

    return align.train(shop)


def _align_then_adapt(shop: Workshop) -> Sight:
    from buildext.learn.training.methods import align

    return align.train_then_adapt(shop)


def _adapt_then_align(shop: Workshop) -> Sight:
    from buildext.learn.training.methods import align

    return align.adapt_then_align(shop)


METHODS: dict[str, Method] = {
    "supervised": supervised.train,
    "sda": sda.train,
    "kd": kd.train,
    "dml": dml.train,
    "align": _align,
    "align+sda": _align_then_adapt,
    "sda+align": _adapt_then_align,
    "adapt": adapt.train,
}
