"""Encoders by name.

One name space holds three kinds:

| name | what it is |
|---|---|
| `tu-NAME` | timm's architecture NAME through smp's universal encoder |
| `resnet34`, `vgg19`, `mit_b0` ... | smp's own encoders |
| `efficientvit_m0`, `shvit_s1` ... | written here, in `encoders/` |

All keep one contract, smp's (segmentation-models-pytorch): `out_channels` lists the widths of the
maps at strides 1, 2, 4 ..., the image first, with 0 for a map that the architecture does not have;
`forward` gives these maps, an absent one as `(N, 0, H/2, W/2)`; `output_stride` is the stride of
the deepest. Nothing is ever downloaded: weights come from a file that the user names, or not at
all.
"""

from __future__ import annotations

import difflib
import importlib
import warnings
from collections.abc import Mapping
from functools import cache
from typing import Any

from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.trim import trim

TIMM_PREFIX = "tu-"
# The beginning of our own encoders' names, and the file in encoders/ that has them. The longer of
# two that fit stands first.
OWN_FAMILIES = {
    "efficientformerv2_": "efficientformer_v2",
    "efficientformer_": "efficientformer",
    "efficientmod_": "efficientmod",
    "efficientvit_m": "efficientvit_m",
    "fastervit_": "fastervit",
    "hiera_": "hiera",
    "mobile_former_": "mobile_former",
    "searched": "searched",
    "shvit_": "shvit",
    "turbovit_": "turbovit",
}
# Attention over patches of 2 x 2 pixels, at the deepest map too: images must be multiples of twice
# the deepest stride. timm stretches other maps, by an amount that an exported graph would freeze.
PATCHED = ("tu-mobilevit",)
# Halvings of the architectures of timm and smp; a shallower encoder leaves stages unused.
WHOLE_DEPTH = 5
# Of the errors below the libraries raise one or another for an architecture that they cannot take
# apart into stages.
UNSUITABLE = (
    ValueError,
    RuntimeError,
    TypeError,
    AttributeError,
    AssertionError,
    KeyError,
    IndexError,
    NotImplementedError,
)

Options = Mapping[str, bool | int | float | str]


@cache
def own_names() -> tuple[str, ...]:
    """Names of the encoders written here."""
    names = []
    for module in dict.fromkeys(OWN_FAMILIES.values()):
        names += list(_own_module(module).VARIANTS)
    return tuple(sorted(names))


@cache
def smp_names() -> tuple[str, ...]:
    """Names of smp's own encoders."""
    import segmentation_models_pytorch as smp

    return tuple(smp.encoders.get_encoder_names())


@cache
def timm_names() -> tuple[str, ...]:
    """Names of timm's architectures with the prefix; not every one has stages to take."""
    import timm

    return tuple(TIMM_PREFIX + name for name in timm.list_models())


def build_encoder(
    name: str, depth: int, output_stride: int = 32, options: Options | None = None
) -> nn.Module:
    """A randomly initialised encoder.

    Args:
        name: in the registry.
        depth: number of stages, each halving the resolution.
        output_stride: where the decoder would like the deepest map to be; an encoder that can be
            dilated is, another one keeps its own stride.
        options: choices that this encoder offers; timm's architectures hand them to timm.

    Returns:
        The encoder, see the module's docstring; `stride_divisor` is what the sides of an image
        must be multiples of, in pixels.

    Raises:
        ModelError: there is no such encoder, or it has no stages that a decoder could use.
    """
    options = dict(options or {})
    wanted = min(output_stride, 2**depth)
    family = own_family(name)
    if family is not None:
        module = _own_module(family)
        encoder: nn.Module = module.build(name, depth, **options)
        if not hasattr(encoder, "unused_prefixes"):
            encoder.unused_prefixes = module.HEAD_PREFIXES
    elif name.startswith(TIMM_PREFIX):
        encoder = _from_timm(name, depth, wanted, options)
    elif name in smp_names():
        encoder = _from_smp(name, depth, wanted, options)
    else:
        raise _unknown(name)
    if not hasattr(encoder, "stride_divisor"):
        patch = 2 if name.startswith(PATCHED) else 1
        encoder.stride_divisor = patch * 2**depth
    if family is None and depth < WHOLE_DEPTH:
        # Batch-normalised maps of one pixel would be refused: a few of them at the deepest stage.
        trim(encoder, 4 * stride_divisor(encoder) * 2 ** (WHOLE_DEPTH - depth))
    return encoder


def out_channels(encoder: nn.Module) -> list[int]:
    """Widths of the maps at strides 1, 2, 4 ..., the image first; 0 for an absent one."""
    widths: Any = encoder.out_channels
    return [int(width) for width in widths]


def deepest_stride(encoder: nn.Module) -> int:
    """The stride of the deepest map."""
    info: Any = getattr(getattr(encoder, "model", None), "feature_info", None)
    # smp's universal encoder repeats what it was asked for; timm knows what it did.
    stride: Any = encoder.output_stride if info is None else info.reduction()[-1]
    return int(stride)


def stride_divisor(encoder: nn.Module) -> int:
    """What the sides of images should be multiples of, in pixels."""
    divisor: Any = encoder.stride_divisor
    return int(divisor)


def takes_option(name: str, option: str) -> bool:
    """Whether an encoder written here offers a choice."""
    module = own_family(name)
    family = getattr(_own_module(module), "FAMILY", None) if module else None
    return family is not None and option in family.options


def own_family(name: str) -> str | None:
    """The file in encoders/ that has the encoder `name`, if one has."""
    for prefix, module in OWN_FAMILIES.items():
        if name.startswith(prefix):
            if name not in _own_module(module).VARIANTS:
                raise _unknown(name)
            return module
    return None


def _own_module(name: str) -> Any:
    return importlib.import_module(f"buildext.learn.networks.encoders.{name}")


def _from_timm(name: str, depth: int, output_stride: int, options: dict[str, Any]) -> nn.Module:
    timm_name = name.removeprefix(TIMM_PREFIX)
    if name not in timm_names():
        raise _unknown(name)
    for prefix in OWN_FAMILIES:
        if timm_name.startswith(prefix):
            own = difflib.get_close_matches(timm_name, own_names(), n=1, cutoff=0.0)[0]
            raise ModelError(
                f"timm's {timm_name} has no maps at the strides that a decoder needs, or takes "
                f"one image size only; expected the encoder {own!r}, which has and does",
                hint=f"write encoder = {own!r}",
            )
    return _stages(name, depth, output_stride, options)


def _from_smp(name: str, depth: int, output_stride: int, options: dict[str, Any]) -> nn.Module:
    if options:
        raise ModelError(
            f"got the options {', '.join(options)} for the encoder {name}; expected none",
            hint="remove `encoder_options`",
        )
    return _stages(name, depth, output_stride, options)


def _stages(name: str, depth: int, output_stride: int, options: dict[str, Any]) -> nn.Module:
    """smp's encoder, dilated to `output_stride` where it can be."""
    try:
        if output_stride < 2**depth:
            try:
                return _get_encoder(name, depth, output_stride, options)
            except UNSUITABLE:
                # Not every architecture can be dilated; its own stride serves as well.
                pass
        return _get_encoder(name, depth, 32, options)
    except UNSUITABLE as error:
        raise ModelError(
            f"{name} cannot be taken apart into {depth} stages: {str(error) or type(error)}",
            hint="choose another encoder (`buildext encoders` lists them)",
        ) from error


def _get_encoder(name: str, depth: int, output_stride: int, options: dict[str, Any]) -> nn.Module:
    import segmentation_models_pytorch as smp

    with warnings.catch_warnings():
        # smp prefers `tu-` names to its older `timm-` ones; both are kept here.
        warnings.simplefilter("ignore", DeprecationWarning)
        encoder: nn.Module = smp.encoders.get_encoder(
            name, in_channels=3, depth=depth, weights=None, output_stride=output_stride, **options
        )
    return encoder


def _unknown(name: str) -> ModelError:
    names = (*own_names(), *smp_names(), *timm_names())
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if not near and not name.startswith(TIMM_PREFIX):
        near = difflib.get_close_matches(TIMM_PREFIX + name, names, n=1, cutoff=0.5)
    guess = f"; did you mean {near[0]}?" if near else ""
    return ModelError(
        f"got the encoder {name!r}, which is not known{guess}",
        hint="`buildext encoders` lists the names; any architecture of timm is tu-NAME",
    )
