"""Checkpoints: everything a phase needs to go on, bit for bit, in one safetensors file.

Tensors are those of the task (its networks), of the running mean, of the best mean so far where a
run stops early, and of the optimiser, each under its own prefix; the step and the config's
fingerprint stand in the file's metadata, so that a run is not continued under another config by
mistake. No pickle is written or read. The file appears atomically: a run killed while saving keeps
its previous checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from buildext.atomic import atomic_path
from buildext.errors import ModelError
from buildext.learn.networks.loading import load_strictly

Tensors = dict[str, torch.Tensor]


@dataclass(slots=True)
class PhaseState:
    """How far a phase has come.

    Attributes:
        step: steps done.
        best: the best mean held-out score so far; only kept where the phase may stop early.
        stale: validations since then.
        best_mean: the running mean that reached `best`.
        seconds: of wall time that the steps took, whichever process did them.
        finished: nothing is left to do, be it that all steps are done or that it stopped early.
    """

    step: int = 0
    best: float = float("-inf")
    stale: int = 0
    best_mean: Tensors = field(default_factory=dict)
    finished: bool = False
    seconds: float = 0.0


def save_checkpoint(
    path: Path,
    task: nn.Module,
    mean: Tensors,
    optimiser: torch.optim.Optimizer,
    state: PhaseState,
    fingerprint: str,
) -> None:
    """Write the state after `state.step` steps."""
    from safetensors.torch import save_file

    tensors = {f"task.{k}": v for k, v in task.state_dict().items()}
    tensors |= {f"mean.{k}": v for k, v in mean.items()}
    tensors |= {f"best.{k}": v for k, v in state.best_mean.items()}
    for name, parameter in task.named_parameters():
        for moment, value in optimiser.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimiser.{moment}.{name}"] = value
    tensors["random.torch"] = torch.get_rng_state()
    plain = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
    metadata = {
        "step": str(state.step),
        "best": repr(state.best),
        "stale": str(state.stale),
        "finished": "yes" if state.finished else "no",
        "seconds": repr(state.seconds),
        "fingerprint": fingerprint,
    }
    with atomic_path(path, overwrite=True) as temporary:
        save_file(plain, temporary, metadata)


def load_checkpoint(
    path: Path,
    task: nn.Module,
    mean: Tensors,
    optimiser: torch.optim.Optimizer,
    fingerprint: str,
) -> PhaseState:
    """Restore everything in place; returns how far the phase had come.

    Raises:
        ModelError: the file is missing or damaged, or belongs to another config or network.
    """
    tensors, metadata = _read(path)
    if metadata["fingerprint"] != fingerprint:
        raise ModelError(
            f"the checkpoint {path} was made under another config or other data",
            hint="resume with the config that the run was started with, or choose another --out",
        )
    load_strictly(task, _below(tensors, "task."), str(path))
    for name, value in _below(tensors, "mean.").items():
        mean[name].copy_(value)
    moments = _below(tensors, "optimiser.")
    for name, parameter in task.named_parameters():
        state = {}
        for key, value in moments.items():
            moment, _, owner = key.partition(".")
            if owner == name:
                # Moments must have the parameter's own memory layout to add up in the same order;
                # counters are scalars and stay on the processor.
                like = value.shape == parameter.shape and value.ndim > 0
                state[moment] = torch.empty_like(parameter).copy_(value) if like else value
        if state:
            optimiser.state[parameter] = state
    torch.set_rng_state(tensors["random.torch"])
    return PhaseState(
        step=int(metadata["step"]),
        best=float(metadata["best"]),
        stale=int(metadata["stale"]),
        best_mean=_below(tensors, "best."),
        finished=metadata["finished"] == "yes",
        seconds=float(metadata.get("seconds", "0")),
    )


def load_mean(path: Path) -> tuple[Tensors, int]:
    """The running mean in a checkpoint and the number of steps behind it.

    Raises:
        ModelError: the file is missing or damaged.
    """
    tensors, metadata = _read(path)
    return _below(tensors, "best.") or _below(tensors, "mean."), int(metadata["step"])


def _read(path: Path) -> tuple[Tensors, dict[str, str]]:
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


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
