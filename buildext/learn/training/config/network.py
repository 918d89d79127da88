"""The network of a run and where its encoder starts from."""

from __future__ import annotations

from typing import Literal

from buildext.learn.networks.spec import NetworkSpec, Normalisation
from buildext.learn.training.config.section import Section


class NetworkSection(Section):
    """The architecture and where its encoder starts from.

    `pretrained_origin` is written into the model card: whose weights they were, and the licence.
    """

    encoder: str = "tu-tf_efficientnetv2_b0"
    decoder: str = "unet"
    decoder_channels: tuple[int, ...] = (128, 96, 64, 32)
    head: Literal["subpixel", "conv"] = "subpixel"
    encoder_depth: int = 5
    channels: tuple[Literal["building", "contact"], ...] = ("building", "contact")
    pretrained: str = ""
    pretrained_origin: str = ""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def spec(self) -> NetworkSpec:
        """The part of the section that fixes the state-dict keys."""
        return NetworkSpec(
            encoder=self.encoder,
            decoder=self.decoder,
            decoder_channels=self.decoder_channels,
            channels=self.channels,
            head=self.head,
            encoder_depth=self.encoder_depth,
        )

    def normalisation(self) -> Normalisation:
        """The mean and deviation that go with the encoder's weights."""
        return Normalisation(self.mean, self.std)
