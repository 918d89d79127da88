"""Checkpoints: everything a run needs to go on, bit for bit, in one safetensors file.

Tensors are the network's, the running mean's and the optimiser's, each under its own prefix; the
step stands in the file's metadata together with the config's fingerprint, so that a run is not
continued under another config by mistake. No pickle is written or read. The file appears
atomically: a run killed while saving keeps its previous checkpoint.
"""

from __future__ import annotations

from pathlib import Path

import torch

from buildext.atomic import atomic_path
from buildext.errors import ModelError
from buildext.learn.networks.build import SegmentationNetwork
from buildext.learn.networks.loading import load_strictly
from buildext.learn.training.optimisers import RunningMean

FILE_NAME = "checkpoint.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: Path,
    network: SegmentationNetwork,
    mean: RunningMean,
    optimiser: torch.optim.AdamW,
    step: int,
    fingerprint: str,
) -> None:
    """Write the state after `step` steps."""
    from safetensors.torch import save_file

    tensors = {f"network.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"mean.{k}": v for k, v in mean.tensors.items()}
    for name, parameter in network.named_parameters():
        for moment in _MOMENTS if parameter in optimiser.state else ():
            tensors[f"{moment}.{name}"] = optimiser.state[parameter][moment]
    tensors["random.torch"] = torch.get_rng_state()
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    with atomic_path(path, overwrite=True) as temporary:
        save_file(plain, temporary, {"step": str(step), "fingerprint": fingerprint})


def load_checkpoint(
    path: Path,
    network: SegmentationNetwork,
    mean: RunningMean,
    optimiser: torch.optim.AdamW,
    fingerprint: str,
) -> int:
    """Restore everything in place; returns the number of steps done.

    Raises:
        ModelError: the file is missing or damaged, or belongs to another config.
    """
    tensors, metadata = _read(path)
    if metadata["fingerprint"] != fingerprint:
        raise ModelError(
            f"the checkpoint {path} was made under another config or other data",
            hint="resume with the config that the run was started with, or choose another --out",
        )
    step = int(metadata["step"])
    load_strictly(network, _below(tensors, "network."), str(path))
    for name, value in _below(tensors, "mean.").items():
        mean.tensors[name].copy_(value)
    moments = {moment: _below(tensors, f"{moment}.") for moment in _MOMENTS}
    for name, parameter in network.named_parameters():
        if name in moments["exp_avg"]:
            state = {m: v[name].to(parameter.device) for m, v in moments.items()}
            # The moments must have the parameter's own memory layout to add up in the same order.
            kept = {m: torch.empty_like(parameter).copy_(v) for m, v in state.items()}
            optimiser.state[parameter] = {"step": torch.tensor(float(step)), **kept}
    torch.set_rng_state(tensors["random.torch"])
    return step


def load_mean(path: Path, network: SegmentationNetwork) -> int:
    """Fill `network` with the running mean in a checkpoint; returns the number of steps done.

    Raises:
        ModelError: the file is missing or damaged, or belongs to another network.
    """
    tensors, metadata = _read(path)
    load_strictly(network, _below(tensors, "mean."), str(path))
    return int(metadata["step"])


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {k: file.get_tensor(k) for k in file.keys()}, file.metadata()  # noqa: SIM118
    except FileNotFoundError as error:
        raise ModelError(
            f"got no checkpoint at {path}", hint="run without --resume to start anew"
        ) from error
    except SafetensorError as error:
        raise ModelError(f"the checkpoint {path} is damaged: {error}", hint="start anew") from error


def _below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
