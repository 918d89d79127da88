"""From a spec to a torch module.

    logits = build_network(spec, channels)(images)   # float (N, 3, H, W) normalised -> (N, K, H, W)

The module knows nothing of normalisation, sigmoids or thresholds; the first two are added by
`inference.InferenceGraph`, the last belongs to whoever uses the probabilities.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.decoders.table import build_decoder, decoder_entry
from buildext.learn.networks.exportable import make_exportable
from buildext.learn.networks.heads import ConvHead, OffsetGain, SubpixelHead
from buildext.learn.networks.inference import InferenceGraph
from buildext.learn.networks.loading import load_strictly, state_dict_from_onnx
from buildext.learn.networks.normalisation import Normalisation
from buildext.learn.networks.registry import (
    build_encoder,
    deepest_stride,
    out_channels,
    stride_divisor,
    takes_option,
)
from buildext.models.card import OFFSET_CHANNELS, Card, NetworkSpec

# What can be built and compared, but the default engine gets wrong.
REFUSED = {
    "fastervit_0": "OpenVINO, the default engine, computes it wrongly at a fixed image size "
    "(probabilities are off by up to 0.08; torch and ONNX Runtime agree)",
}
REFUSED_PAIRS = {
    ("tu-fbnetv3_b", "pan"): "OpenVINO, the default engine, computes it wrongly (probabilities are "
    "off by up to 0.02; torch and ONNX Runtime agree)",
}
# Encoders whose maps come out of parallel streams, to the end.
PARALLEL = ("tu-hrnet",)


class SegmentationNetwork(nn.Module):
    """Encoder, decoder and head in a row.

    Attributes:
        spec: the architecture.
        channels: names of the output channels in order.
        stride_divisor: heights and widths of images should be multiples of this, in pixels.
    """

    def __init__(self, spec: NetworkSpec, channels: tuple[str, ...]) -> None:
        super().__init__()
        self.spec = spec
        self.channels = channels
        check_channels(channels)
        check_pair(spec)
        subpixel = spec.head == "subpixel"
        stride = decoder_entry(spec.decoder).output_stride
        self.encoder = build_encoder(spec.encoder, spec.encoder_depth, stride, _options(spec))
        self.stride_divisor = stride_divisor(self.encoder)
        decoder = build_decoder(
            spec.decoder,
            out_channels(self.encoder),
            deepest_stride(self.encoder),
            spec.decoder_channels,
            subpixel,
        )
        self.decoder = decoder.module
        head = SubpixelHead if subpixel else ConvHead
        self.head = head(decoder.out_channels, len(channels), decoder.out_stride)
        if set(OFFSET_CHANNELS) & set(channels):
            self.head.append(OffsetGain(channels))
        make_exportable(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Normalised float images `(N, 3, H, W)` to logits `(N, K, H, W)`.

        An image whose sides are no multiples of `stride_divisor` is padded below and to the right
        with zeros, the mean colour, and the logits are cut back. An exported graph does not pad:
        it takes multiples only, as `Card.stride_divisor` says.
        """
        height, width = images.shape[-2:]
        below = right = 0
        if not torch.jit.is_tracing():  # type: ignore[no-untyped-call, attr-defined]
            below, right = -height % self.stride_divisor, -width % self.stride_divisor
            if below or right:
                images = F.pad(images, (0, right, 0, below))
        logits: torch.Tensor = self.head(self.decoder(self.encoder(images)))
        return logits[..., :height, :width] if below or right else logits


def _options(spec: NetworkSpec) -> dict[str, bool | int | float | str]:
    """The encoder's options, without a branch for maps that the decoder does not read.

    Nothing would train that branch.

    Raises:
        ModelError: it was asked for.
    """
    options, entry = dict(spec.encoder_options), decoder_entry(spec.decoder)
    if entry.reads_fine or not takes_option(spec.encoder, "detail"):
        return options
    if options.get("detail"):
        raise ModelError(
            f"got the option detail of {spec.encoder} under {entry.title}, which does not read "
            "the maps that it refines; expected it left out",
            hint="remove `detail` from `encoder_options`, or choose another decoder",
        )
    return options | {"detail": False}


def check_pair(spec: NetworkSpec) -> None:
    """Refuse an encoder, or an encoder under a decoder, that would not do.

    Raises:
        ModelError: with the reason.
    """
    entry = decoder_entry(spec.decoder)
    if spec.encoder in REFUSED:
        raise ModelError(
            f"the encoder {spec.encoder} is refused: {REFUSED[spec.encoder]}",
            hint="choose another encoder (`buildext encoders` lists them)",
        )
    reason = REFUSED_PAIRS.get((spec.encoder, spec.decoder), "")
    if spec.encoder.startswith(PARALLEL) and not entry.reads_fine:
        reason = (
            "it does not read all of the encoder's streams, which nothing would train and which "
            "are computed all the same"
        )
    if reason:
        raise ModelError(
            f"{entry.title} on the encoder {spec.encoder} is refused: {reason}",
            hint="choose another decoder",
        )


def check_channels(channels: tuple[str, ...]) -> None:
    """Refuse output channels that make no network.

    Raises:
        ModelError: there are none, or one stands there twice.
    """
    if not channels or len(set(channels)) != len(channels):
        raise ModelError(
            f"got the output channels {channels!r}; expected at least one, each once",
            hint="name the channels, such as building and contact",
        )


def build_network(spec: NetworkSpec, channels: tuple[str, ...]) -> SegmentationNetwork:
    """A randomly initialised network; seed torch first for a repeatable one.

    Args:
        spec: the architecture.
        channels: names of the output channels in order, such as `("building", "contact")`.

    Raises:
        ModelError: the encoder or the decoder is unknown, or they do not go together.
    """
    return SegmentationNetwork(spec, channels)


def load_network(card: Card, weights: Path) -> InferenceGraph:
    """The network of a model folder with its weights, in evaluation mode.

    Args:
        card: names the architecture, the channels and the normalisation.
        weights: the model's ONNX file.

    Returns:
        A module from uint8 `(N, 3, H, W)` to float32 probabilities `(N, K, H, W)`.

    Raises:
        ModelError: the encoder is unknown, or the weights do not fit exactly.
    """
    network = build_network(card.network, card.channels)
    load_strictly(network, state_dict_from_onnx(weights), str(weights))
    red, green, blue = card.mean
    red_std, green_std, blue_std = card.std
    normalisation = Normalisation((red, green, blue), (red_std, green_std, blue_std))
    return InferenceGraph(network, normalisation).eval()
