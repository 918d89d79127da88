"""Which level of an encoder a parameter belongs to.

Level `l` is the first map that a parameter contributes to: level 1 makes the map at stride 2 (or
the first one that the architecture has), level 5 the deepest. It is found by asking for gradients,
so that it holds for every encoder, whatever its modules are called.
"""

from __future__ import annotations

import torch

from buildext.learn.networks.build import SegmentationNetwork

ENCODER = "encoder."


def parameter_levels(network: SegmentationNetwork) -> dict[str, int]:
    """The level of each parameter by its name; decoder and head are one above the encoder's last.

    The network is left as it was.
    """
    names = {n: p for n, p in network.named_parameters() if n.startswith(ENCODER)}
    was_training, wanted = network.training, {n: p.requires_grad for n, p in names.items()}
    # Evaluation mode: running statistics must not see this image.
    network.eval()
    for parameter in names.values():
        parameter.requires_grad_(True)
    side = 2 * network.stride_divisor
    image = torch.zeros(1, 3, side, side, device=next(network.parameters()).device)
    maps = network.encoder(image)[1:]
    levels = dict.fromkeys((n for n, _ in network.named_parameters()), len(maps) + 1)
    found: set[str] = set()
    for level, tensor in enumerate(maps, start=1):
        if tensor.numel() == 0:
            continue
        left = [n for n in names if n not in found]
        gradients = torch.autograd.grad(
            tensor.sum(), [names[n] for n in left], retain_graph=True, allow_unused=True
        )
        for name, gradient in zip(left, gradients, strict=True):
            if gradient is not None:
                levels[name] = level
                found.add(name)
    for name, parameter in names.items():
        parameter.requires_grad_(wanted[name])
    network.train(was_training)
    return levels
