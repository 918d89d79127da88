"""Supervised domain adaptation: a large noisy set first, then a small clean one.

Neupane, Aryal & Rajabifard (Remote Sensing 2025, 17(7), 1251): labels displaced by the off-nadir
view are still labels of buildings. A network that has learned from many of them what a building is
needs only a few clean ones to learn where its roof ends.
"""

from __future__ import annotations

from buildext.learn.training.engine.fit import fit
from buildext.learn.training.engine.levels import parameter_levels
from buildext.learn.training.engine.phase import Phase
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.engine.thaw import Thaw
from buildext.learn.training.engine.workshop import Workshop
from buildext.learn.training.methods.supervised import Supervised


def train(shop: Workshop, steps: int | None = None) -> Sight:
    """`method.noisy_share` of the steps on noisy labels, the rest on clean ones.

    Args:
        shop: where to work.
        steps: of both phases; all of the config's by default.
    """
    config = shop.config
    steps = config.schedule.steps if steps is None else steps
    noisy_steps = round(config.method.noisy_share * steps)
    noisy = Phase("noisy", noisy_steps, shop.pool.scenes("noisy"), common=True)
    fit(shop, noisy, Supervised(shop.sight, config.loss))
    adapt(shop, steps - noisy_steps)
    return shop.sight


def adapt(shop: Workshop, steps: int) -> None:
    """The second phase: clean labels, a lower rate, and the plan of `method.unfreeze`."""
    method = shop.config.method
    levels = {} if method.unfreeze == "full" else parameter_levels(shop.sight.network)
    thaw = Thaw(method.unfreeze, levels, method.depth_decay)
    clean = Phase("clean", steps, shop.pool.scenes("clean"), method.clean_rate, thaw)
    fit(shop, clean, Supervised(shop.sight, shop.config.loss))
