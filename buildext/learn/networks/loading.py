"""Strict loading of weights, from a pretrained encoder or from an exported model.

A pretrained encoder is a safetensors file without a classifier, with timm's keys for an encoder
whose body is timm's (in the attribute `model`) or with the keys of the encoder itself. Its first
layer was trained on images normalised by a certain mean and standard deviation, which therefore
travel with it. Layers that sit behind the last map we use are dropped by name (`conv_head` and
`bn2`, and whatever an encoder lists as `unused_prefixes`); any other missing or unexpected key is
an error: a network that loads half of its weights trains well enough to hide it.

An exported model (`buildext.learn.compress.export`) is an ONNX file whose initialisers carry the
keys of the state dict, in 16 bits where they fit; those named `input.*` belong to the normalisation
in front, and `constant.*` are fixed tables of the graph.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import nn

from buildext.errors import ModelError
from buildext.learn.networks.normalisation import KNOWN_FILES, Normalisation

UNUSED_LAYERS = ("conv_head.", "bn2.")
INPUT_PREFIX = "input."
CONSTANT_PREFIX = "constant."


def load_encoder(encoder: nn.Module, path: Path) -> None:
    """Fill `encoder` (see `registry.build_encoder`) with the weights in `path`.

    Raises:
        ModelError: the file is missing, is no safetensors file, or its keys or shapes do not
            match the encoder's exactly.
    """
    tensors, _ = _read_safetensors(path)
    body = getattr(encoder, "model", None)
    whole = not isinstance(body, nn.Module) or any(k.startswith("model.") for k in tensors)
    target = encoder if whole else body
    assert isinstance(target, nn.Module)
    own = target.state_dict()
    unused = (*UNUSED_LAYERS, *getattr(encoder, "unused_prefixes", ()))
    kept = {k: v for k, v in tensors.items() if k in own or not k.startswith(unused)}
    load_strictly(target, kept, str(path))


def normalisation_of_weights(path: Path) -> Normalisation | None:
    """The constants that the weights in a safetensors file were made with, where they are known.

    They stand in the file's metadata as `mean` and `std`, three numbers each in brackets; a few
    files that come without are known by name.

    Raises:
        ModelError: the file is missing, is no safetensors file, or its metadata make no sense.
    """
    _, metadata = _read_safetensors(path)
    if "mean" not in metadata or "std" not in metadata:
        return KNOWN_FILES.get(path.stem)
    try:
        red, green, blue = (float(v) for v in json.loads(metadata["mean"]))
        red_std, green_std, blue_std = (float(v) for v in json.loads(metadata["std"]))
    except (ValueError, TypeError) as error:
        raise ModelError(
            f"got mean {metadata['mean']!r} and std {metadata['std']!r} in the metadata of {path}; "
            "expected three numbers each, such as [0.5, 0.5, 0.5]",
            hint="save the file again",
        ) from error
    return Normalisation((red, green, blue), (red_std, green_std, blue_std))


def _read_safetensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file."""
    from safetensors import SafetensorError, safe_open

    hint = "name a headless safetensors file of this very encoder in `[network] weights`"
    if not path.is_file():
        raise ModelError(f"got no file at {path}; expected weights of an encoder", hint=hint)
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(f"got {path}, which is no safetensors file: {error}", hint=hint) from error


def load_strictly(module: nn.Module, tensors: dict[str, torch.Tensor], origin: str) -> None:
    """Load tensors whose keys and shapes must match the module's exactly.

    The counters `num_batches_tracked` alone may be missing: they carry no weight and are not
    part of an exported graph.

    Raises:
        ModelError: naming the first offending keys.
    """
    own = module.state_dict()
    optional = {k for k in own if k.endswith("num_batches_tracked")}
    missing = sorted(set(own) - set(tensors) - optional)
    unexpected = sorted(set(tensors) - set(own))
    reshaped = sorted(k for k in set(own) & set(tensors) if own[k].shape != tensors[k].shape)
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})"
        for what, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if keys
    ]
    if problems:
        raise ModelError(
            f"the weights in {origin} do not fit the network: {'; '.join(problems)}",
            hint="use the weights and the card of the same model",
        )
    counters = {k: own[k] for k in optional - set(tensors)}
    module.load_state_dict({**tensors, **counters}, strict=True)


def state_dict_from_onnx(path: Path) -> dict[str, torch.Tensor]:
    """The network's tensors in an exported file, floats as float32, ready for `load_strictly`.

    Raises:
        ModelError: the file is no ONNX file.
    """
    return {
        name: torch.from_numpy(
            values.astype(np.float32) if np.issubdtype(values.dtype, np.floating) else values.copy()
        )
        for name, values in _initialisers(path).items()
        if not name.startswith((INPUT_PREFIX, CONSTANT_PREFIX))
    }


def normalisation_from_onnx(path: Path) -> Normalisation:
    """The mean and standard deviation inside an exported file.

    Raises:
        ModelError: the file is no ONNX file, or was not exported by buildext.
    """
    arrays = _initialisers(path)
    try:
        scale = arrays[f"{INPUT_PREFIX}scale"].astype(np.float64).ravel()
        offset = arrays[f"{INPUT_PREFIX}offset"].astype(np.float64).ravel()
    except KeyError as error:
        raise ModelError(
            f"got {path} without {error}; expected a network exported by buildext",
            hint="export the model again",
        ) from error
    # The graph computes image * scale - offset, which is (image / 255 - mean) / std.
    std = 1.0 / (255.0 * scale)
    red, green, blue = (round(float(v), 6) for v in offset * std)
    red_std, green_std, blue_std = (round(float(v), 6) for v in std)
    return Normalisation((red, green, blue), (red_std, green_std, blue_std))


def _initialisers(path: Path) -> dict[str, np.ndarray]:
    """All initialisers of an ONNX file by name."""
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        model = onnx.load(str(path))
    except (DecodeError, OSError) as error:
        raise ModelError(
            f"got {path}, which cannot be read as ONNX: {error}",
            hint="export or fetch the model again",
        ) from error
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
