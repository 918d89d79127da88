"""Losses: what is minimised, per channel, over the pixels that have a label.

One family a file. `pixelwise` looks at each pixel alone, `overlap`, `correlation` and `lovasz` at
the pixels together, `robust` at each pixel with some distrust of its label. `segmentation` puts
together what a config asks for.

Every loss takes `(logits, target, weight, ...)`, three float tensors of one shape, and gives a
scalar. Targets may be soft: anything from 0 to 1. A pixel of weight 0 has no influence and no
gradient, and where no pixel has weight the loss is 0.
"""

from buildext.learn.training.losses.segmentation import channel_loss, segmentation_loss

__all__ = ["channel_loss", "segmentation_loss"]
