"""Alignment: noisy labels are moved to where the network sees their shapes, and learned again.

A label that is misplaced is still the right shape. What a network has learned from many misplaced
labels is blurred, but centred on the truth if the errors differ from place to place; against that
blurred picture each label can be moved to its roof (see `buildext.align`). Learned again from the
moved labels, the picture is sharper. Labels without a sure place are ignored.
"""

from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np

from buildext.learn.training.data.scenes import LabelledScene
from buildext.learn.training.engine.fit import fit
from buildext.learn.training.engine.phase import Phase
from buildext.learn.training.engine.predict import middle_gsd_m, predict_scene
from buildext.learn.training.engine.sight import Sight
from buildext.learn.training.engine.workshop import Workshop
from buildext.learn.training.methods import sda
from buildext.learn.training.methods.supervised import Supervised

log = logging.getLogger(__name__)


def train(shop: Workshop) -> Sight:
    """All steps on noisy labels, which are moved `method.rounds` times on the way."""
    _learn_and_move(shop, shop.config.schedule.steps)
    return shop.sight


def train_then_adapt(shop: Workshop) -> Sight:
    """The same for `method.noisy_share` of the steps, then the clean phase of `sda`."""
    steps = shop.config.schedule.steps
    noisy_steps = round(shop.config.method.noisy_share * steps)
    _learn_and_move(shop, noisy_steps)
    sda.adapt(shop, steps - noisy_steps)
    return shop.sight


def adapt_then_align(shop: Workshop) -> Sight:
    """Noisy labels, clean ones, and then all together, the noisy ones moved.

    A lean moves all labels of a scene the same way, and a network that has learned from them alone
    sees the roofs where they are not. One that was adapted to a few clean labels sees them where
    they are, and brings the many to their places. The steps are shared out equally between the
    adaptation and `method.rounds` times of moving and learning again.
    """
    config = shop.config
    first, *others = _shares(config.schedule.steps, config.method.rounds)
    sda.train(shop, first)
    clean, noisy = shop.pool.scenes("clean"), shop.pool.scenes("noisy")
    task = Supervised(shop.sight, config.loss)
    for part, steps in enumerate(others, start=1):
        scenes = [_move(shop, scene) for scene in noisy] + clean
        fit(shop, Phase(f"aligned-{part}", steps, scenes), task)
    return shop.sight


def _learn_and_move(shop: Workshop, steps: int) -> None:
    """Equal parts of `steps`, the first on the labels as they are, each other on moved ones.

    Each part moves the labels from where they were found, not from where the part before put them:
    errors do not add up.
    """
    config = shop.config
    found = scenes = shop.pool.scenes("noisy")
    task = Supervised(shop.sight, config.loss)
    for part, share in enumerate(_shares(steps, config.method.rounds)):
        if part:
            scenes = [_move(shop, scene) for scene in found]
        name = f"aligned-{part}" if part else "noisy"
        fit(shop, Phase(name, share, scenes, common=True), task)


def _shares(steps: int, rounds: int) -> list[int]:
    """Steps of the part before the first round and of each round, as equal as may be."""
    ends = [steps * k // (rounds + 1) for k in range(rounds + 2)]
    return [b - a for a, b in pairwise(ends)]


def _move(shop: Workshop, scene: LabelledScene) -> LabelledScene:
    """The scene with its labels where the network sees them now."""
    # Alignment needs shapely, which a machine that trains from packed tiles may lack.
    from buildext.align import AlignOptions
    from buildext.learn.training.methods.relabel import relabel_scene

    gsd_m = middle_gsd_m(scene, shop.config.sampling)
    options = AlignOptions(max_shift_m=shop.config.method.max_shift_m)
    probability = predict_scene(shop.sight, scene, gsd_m)
    moved = relabel_scene(scene, probability, gsd_m, options, shop.config.method.min_confidence)
    log.info(
        "%s: %d of %d labels moved, by %.2f m in the median",
        scene.name,
        len(moved.shifts_m),
        moved.labels,
        float(np.median(moved.shifts_m)) if len(moved.shifts_m) else 0.0,
    )
    return moved.scene
