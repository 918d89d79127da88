"""A TurboViT-style encoder: mask-unit attention, Q-pooling, and few, narrow blocks.

TurboViT (Wong, Abbasi and Nair 2023, arXiv 2308.11421) came out of a generative architecture
search. Neither code nor weights nor a table of its widths are public; this is a network in its
*style*, not TurboViT.

Known of the original:

- a plain hierarchical vision transformer in the manner of Hiera, without convolutions in between:
  attention inside mask units early, global attention late;
- Q-pooling in three places, and most layers after the second;
- low widths and few heads;
- the hidden dimension is condensed near the start and grows from there;
- more than 2.47 times smaller than FasterViT-0 (31.4 M parameters: below 12.71 M), more than 3.4
  times fewer operations than MobileViTv2-2.0 (7.5 G multiply-accumulates: below 2.21 G).

Our choice, within these:

- patches are embedded in 80 channels, which the first block condenses to 48; three Q-poolings take
  them to 128, 256 and 512;
- heads of 48 to 64 channels: 1, 2, 4 and 8 of them;
- 1, 2, 7 and 2 blocks.

With the classifier that is 12.69 M parameters and 2.18 G multiply-accumulates at 224 × 224 pixels.
The modules, and how any image size is served, are those of `hiera`.
"""

from __future__ import annotations

from buildext.learn.networks.encoders.family import Family
from buildext.learn.networks.encoders.hiera import (
    HEAD_PREFIXES,
    OPTIONS,
    Hiera,
    HieraClassifier,
    HieraVariant,
)

__all__ = ["HEAD_PREFIXES", "OPTIONS", "VARIANTS", "build", "classifier"]

VARIANTS = {
    "turbovit_style": HieraVariant(80, (48, 128, 256, 512), (1, 2, 4, 8), (1, 2, 7, 2)),
}


FAMILY = Family(VARIANTS, Hiera, HieraClassifier, OPTIONS)
build, classifier = FAMILY.build, FAMILY.classifier
