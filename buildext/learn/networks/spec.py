"""What a network is, in a handful of plain values.

A segmentation network here is an *encoder* (a classifier's body whose maps shrink by 2 at each
stage), a *decoder* (which grows the deepest map back, mixing in the encoder's shallower maps) and
a *head* (which turns the last decoder map into one logit map per output channel). The values below
travel in a training config and in a model card; two equal specs have the same state-dict keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from buildext.errors import ModelError

HEADS = ("conv", "subpixel")
DECODERS = ("unet",)
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Normalisation:
    """Per-channel mean and standard deviation of RGB in `[0, 1]`."""

    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """The architecture of one network.

    Attributes:
        encoder: timm's name with the prefix `tu-`, such as `tu-tf_efficientnetv2_b0`.
        decoder: a name in the decoder table.
        decoder_channels: width of each decoder block, deepest first; one block doubles the
            resolution once.
        channels: names of the output channels in order, such as `("building", "contact")`.
        head: `conv` works on a full-resolution decoder map; `subpixel` works at half resolution
            and rearranges four maps into one of twice the size (Shi et al. 2016), which saves
            the decoder block that costs the most.
        encoder_depth: number of encoder stages used.
    """

    encoder: str = "tu-tf_efficientnetv2_b0"
    decoder: str = "unet"
    decoder_channels: tuple[int, ...] = (128, 96, 64, 32)
    channels: tuple[str, ...] = ("building", "contact")
    head: str = "subpixel"
    encoder_depth: int = 5

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise ModelError(
                f"got the decoder {self.decoder!r}; expected one of {', '.join(DECODERS)}",
                hint="change `decoder` in the config or the model card",
            )
        if self.head not in HEADS:
            raise ModelError(
                f"got the head {self.head!r}; expected one of {', '.join(HEADS)}",
                hint="change `head` in the config or the model card",
            )
        if not self.channels or len(set(self.channels)) != len(self.channels):
            raise ModelError(
                f"got the output channels {self.channels!r}; expected at least one, each once",
                hint="name the channels, such as building and contact",
            )
        blocks = self.encoder_depth - (1 if self.head == "subpixel" else 0)
        if len(self.decoder_channels) != blocks:
            raise ModelError(
                f"got {len(self.decoder_channels)} decoder widths; expected {blocks} for "
                f"encoder depth {self.encoder_depth} and the head {self.head!r}",
                hint="give one width per decoder block, deepest first",
            )

    @property
    def stride_divisor(self) -> int:
        """Heights and widths fed to the network must be multiples of this, in pixels."""
        return int(2**self.encoder_depth)
