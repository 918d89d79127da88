"""The decoder table: eleven ways from an encoder's maps to one map.

    name           decoder      widths by default            ends at stride   from
    unet           U-Net        128, 96, 64, 32, 16          1 (2: sub-pixel) here
    unetplusplus   U-Net++      128, 96, 64, 32, 16          1                smp
    unet3plus      U-Net 3+     64 a branch                  2                here
    linknet        LinkNet      32 behind the last skip      1 (2: sub-pixel) smp
    manet          MAnet        128, 96, 64, 32, 16          1 (2: sub-pixel) smp
    fpn            FPN          256 pyramid, 128 output      4                smp
    pspnet         PSPNet       512                          the deepest map  smp
    deeplabv3plus  DeepLabV3+   256                          4                smp
    pan            PAN          32                           4                smp
    upernet        UPerNet      256                          4                smp
    segformer      SegFormer    256                          4                smp

smp is segmentation-models-pytorch, whose decoder classes stand here on any encoder, with the
changes of `networks/robust.py`. A decoder says at which stride it ends; the head goes on from there
to the image's size, whatever that stride is.

PSPNet, DeepLabV3+ and PAN were made for encoders whose last stages are *dilated*, with the deepest
map at stride 8 or 16. They ask for that. An encoder that cannot be dilated gives its deepest map at
the stride it has; the decoder enlarges it by so much more, which is sound, though coarser. PSPNet,
which has no skip connections at all, then ends at stride 32: `encoder_depth = 3` is the better
choice there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from segmentation_models_pytorch.base.initialization import initialize_decoder
from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from segmentation_models_pytorch.decoders.fpn.decoder import FPNDecoder
from segmentation_models_pytorch.decoders.linknet.decoder import LinknetDecoder
from segmentation_models_pytorch.decoders.manet.decoder import MAnetDecoder
from segmentation_models_pytorch.decoders.pan.decoder import PANDecoder
from segmentation_models_pytorch.decoders.pspnet.decoder import PSPDecoder
from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from segmentation_models_pytorch.decoders.unetplusplus.decoder import UnetPlusPlusDecoder
from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.decoders.unet import UnetDecoder
from buildext.learn.networks.decoders.unet3plus import Unet3PlusDecoder

BLOCK_WIDTHS = (128, 96, 64, 32, 16)


@dataclass(frozen=True, slots=True)
class Request:
    """What a decoder is built for.

    Attributes:
        channels: widths of the encoder's maps at strides 1, 2, 4 ...; 0 for an absent one.
        stride: of the deepest map.
        widths: the decoder's own, as many as `DecoderEntry.count` says.
    """

    channels: Sequence[int]
    stride: int
    widths: tuple[int, ...]

    @property
    def depth(self) -> int:
        """Number of the encoder's stages."""
        return len(self.channels) - 1

    def require_maps(self, first: int) -> None:
        """Refuse an encoder that lacks a map at the strides from `2^first` on.

        Raises:
            ModelError: naming the stride.
        """
        for stage in range(first, self.depth + 1):
            if not self.channels[stage]:
                raise ModelError(
                    f"the decoder needs the encoder's map at stride {2**stage}, which this "
                    f"encoder does not have at depth {self.depth}",
                    hint="choose a greater encoder_depth, or another encoder or decoder",
                )


@dataclass(frozen=True, slots=True)
class Built:
    """A decoder and the map that it ends with.

    Attributes:
        module: takes the encoder's maps, image first, and gives one map.
        out_channels: width of this map.
        out_stride: stride of this map.
    """

    module: nn.Module
    out_channels: int
    out_stride: int


@dataclass(frozen=True, slots=True)
class DecoderEntry:
    """One row of the table.

    Attributes:
        title: as in the paper.
        paper: where it is defined.
        build: makes it.
        widths: taken where the spec gives none; cut to `count`.
        by_block: one width for each doubling of the resolution, instead of a fixed number.
        drops_last: with a sub-pixel head the last doubling is left to the head.
        output_stride: of the encoder's deepest map that the decoder asks for.
        reads_fine: the encoder's maps at strides 4 and 8 both take part.
    """

    title: str
    paper: str
    build: Callable[[Request], Built]
    widths: tuple[int, ...]
    by_block: bool = False
    drops_last: bool = False
    output_stride: int = 32
    reads_fine: bool = True

    def count(self, depth: int, subpixel: bool) -> int:
        """How many widths it takes on an encoder of `depth` stages."""
        dropped = 1 if self.drops_last and subpixel else 0
        return depth - dropped if self.by_block else len(self.widths) - dropped


def build_unet(request: Request) -> Built:
    """Ronneberger et al. 2015."""
    decoder = UnetDecoder(request.channels, request.widths)
    return Built(decoder, request.widths[-1], 2 ** (request.depth - len(request.widths)))


def build_unetplusplus(request: Request) -> Built:
    """Nested skip pathways."""
    decoder = UnetPlusPlusDecoder(request.channels, request.widths, n_blocks=request.depth)
    return Built(decoder, request.widths[-1], 1)


def build_unet3plus(request: Request) -> Built:
    """Full-scale skip connections."""
    decoder = Unet3PlusDecoder(request.channels, request.widths[0])
    return Built(decoder, decoder.out_channels, decoder.out_stride)


def build_linknet(request: Request) -> Built:
    """Skips are added; without a width for the full resolution it ends with the last skip."""
    blocks = request.depth - 1 + len(request.widths)
    decoder = LinknetDecoder(list(request.channels), *request.widths, n_blocks=blocks)
    if request.widths:
        return Built(decoder, request.widths[0], 1)
    # Where the map at stride 2 is absent, smp goes on with the width before it.
    return Built(decoder, request.channels[1] or request.channels[2], 2)


def build_manet(request: Request) -> Built:
    """Attention over positions at the deepest map, over channels at each skip."""
    widths = request.widths
    decoder = MAnetDecoder(list(request.channels), list(widths), n_blocks=len(widths))
    return Built(decoder, widths[-1], 2 ** (request.depth - len(widths)))


def build_fpn(request: Request) -> Built:
    """A pyramid over the four deepest maps."""
    request.require_maps(request.depth - 3)
    pyramid, out = request.widths
    if out % 32:
        raise ModelError(
            f"got the FPN output width {out}; expected a multiple of 32",
            hint="it is normalised in 32 groups",
        )
    decoder = FPNDecoder(list(request.channels), request.depth, pyramid, out)
    return Built(decoder, out, 2 ** (request.depth - 3))


def build_pspnet(request: Request) -> Built:
    """Averages over 1, 4, 9 and 36 parts of the deepest map are appended to it."""
    (width,) = request.widths
    return Built(PSPDecoder(list(request.channels), out_channels=width), width, request.stride)


def build_deeplabv3plus(request: Request) -> Built:
    """Convolutions of several dilations at the deepest map, one skip at stride 4."""
    request.require_maps(2)
    (width,) = request.widths
    decoder = DeepLabV3PlusDecoder(
        request.channels,
        encoder_depth=5,
        out_channels=width,
        atrous_rates=(12, 24, 36),
        output_stride=16,
        aspp_separable=True,
        aspp_dropout=0.5,
    )
    # smp knows strides 8 and 16 only.
    decoder.up = nn.Upsample(
        scale_factor=float(request.stride // 4), mode="bilinear", align_corners=True
    )
    return Built(decoder, width, 4)


def build_pan(request: Request) -> Built:
    """Pyramid attention at the deepest map, global attention at each skip."""
    request.require_maps(2)
    depth = request.depth
    assert depth in (3, 4, 5)
    (width,) = request.widths
    return Built(PANDecoder(request.channels, depth, width), width, 4)


def build_upernet(request: Request) -> Built:
    """A pooling pyramid at the deepest map, then a feature pyramid."""
    request.require_maps(2)
    (width,) = request.widths
    return Built(UPerNetDecoder(request.channels, request.depth, width), width, 4)


def build_segformer(request: Request) -> Built:
    """Each map through one linear layer, all enlarged to stride 4 and fused."""
    request.require_maps(2)
    (width,) = request.widths
    return Built(SegformerDecoder(list(request.channels), request.depth, width), width, 4)


DECODERS = {
    "unet": DecoderEntry(
        "U-Net",
        "Ronneberger et al., MICCAI 2015",
        build_unet,
        BLOCK_WIDTHS,
        by_block=True,
        drops_last=True,
    ),
    "unetplusplus": DecoderEntry(
        "U-Net++",
        "Zhou et al., DLMIA 2018",
        build_unetplusplus,
        BLOCK_WIDTHS,
        by_block=True,
    ),
    "unet3plus": DecoderEntry("U-Net 3+", "Huang et al., ICASSP 2020", build_unet3plus, (64,)),
    "linknet": DecoderEntry(
        "LinkNet",
        "Chaurasia and Culurciello, VCIP 2017",
        build_linknet,
        (32,),
        drops_last=True,
    ),
    "manet": DecoderEntry(
        "MAnet",
        "Fan et al., IEEE Access 2020",
        build_manet,
        BLOCK_WIDTHS,
        by_block=True,
        drops_last=True,
    ),
    "fpn": DecoderEntry("FPN", "Kirillov et al., CVPR 2019", build_fpn, (256, 128)),
    "pspnet": DecoderEntry(
        "PSPNet", "Zhao et al., CVPR 2017", build_pspnet, (512,), output_stride=8, reads_fine=False
    ),
    "deeplabv3plus": DecoderEntry(
        "DeepLabV3+",
        "Chen et al., ECCV 2018",
        build_deeplabv3plus,
        (256,),
        output_stride=16,
        reads_fine=False,
    ),
    "pan": DecoderEntry("PAN", "Li et al., BMVC 2018", build_pan, (32,), output_stride=16),
    "upernet": DecoderEntry("UPerNet", "Xiao et al., ECCV 2018", build_upernet, (256,)),
    "segformer": DecoderEntry("SegFormer", "Xie et al., NeurIPS 2021", build_segformer, (256,)),
}


def decoder_entry(name: str) -> DecoderEntry:
    """The row called `name`.

    Raises:
        ModelError: there is none.
    """
    if name not in DECODERS:
        raise ModelError(
            f"got the decoder {name!r}; expected one of {', '.join(DECODERS)}",
            hint="change `decoder` in the config or the model card",
        )
    return DECODERS[name]


def build_decoder(
    name: str, channels: Sequence[int], stride: int, widths: tuple[int, ...], subpixel: bool
) -> Built:
    """A randomly initialised decoder.

    Args:
        name: in the table.
        channels: widths of the encoder's maps, the image's first; 0 for an absent one.
        stride: of the encoder's deepest map.
        widths: inside the decoder; none for its own.
        subpixel: the head is a sub-pixel one.

    Raises:
        ModelError: there is no such decoder, the number of widths is wrong, or the encoder lacks
            a map that this decoder cannot do without.
    """
    entry = decoder_entry(name)
    depth = len(channels) - 1
    count = entry.count(depth, subpixel)
    if len(widths) not in (0, count):
        raise ModelError(
            f"got {len(widths)} decoder widths; expected {count} for the decoder {name!r} at "
            f"encoder depth {depth} with a {'sub-pixel' if subpixel else 'conv'} head, or none",
            hint="give the widths deepest first, or leave `decoder_channels` out",
        )
    built = entry.build(Request(channels, stride, widths or entry.widths[:count]))
    if name not in ("unet", "unet3plus"):
        initialize_decoder(built.module)
    return built
