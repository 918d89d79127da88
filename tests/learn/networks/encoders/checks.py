"""What every family of encoders is asked for, as plain functions of an encoder.

An encoder takes images `(N, 3, H, W)` of any sides that are multiples of 32 and returns the image
and one map for each halving; a map that the architecture does not have is there with 0 channels.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

MAX_DIFFERENCE = 2e-3


def figures(model: nn.Module, side: int = 224) -> tuple[float, float]:
    """Parameters in millions and multiply-accumulates of one image in millions."""
    model.eval()
    device = next(model.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, side, side, device=device))
    parameters = sum(p.numel() for p in model.parameters())
    return parameters / 1e6, counter.get_total_flops() / 2e6


def scatter(model: nn.Module, seed: int = 0) -> nn.Module:
    """Move all weights and statistics away from their first values, so that each one is seen.

    Layer scales of 1e-5 and tables of zeros would otherwise hide the branch that they belong to.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(1 + 0.2 * noise.abs())
            else:
                tensor.add_((0.1 if tensor.ndim == 1 else 0.02) * noise)
    return model


def assert_maps(encoder: nn.Module, height: int, width: int) -> None:
    """The maps are as wide as announced, and each is half of the one before.

    Works on the meta device as well, where nothing is computed.
    """
    device = next(encoder.parameters()).device
    with torch.no_grad():
        maps = encoder.eval()(torch.zeros(2, 3, height, width, device=device))
    depth = len(encoder.out_channels) - 1
    expected = [
        (2, encoder.out_channels[i], height // 2**i, width // 2**i) for i in range(depth + 1)
    ]
    assert [tuple(x.shape) for x in maps] == expected
    assert encoder.output_stride == 2**depth


def assert_no_dead_parameter(encoder: nn.Module) -> None:
    """Every parameter has a part in the maps."""
    torch.manual_seed(0)
    encoder.train()
    maps = encoder(torch.randn(2, 3, 64, 96))
    sum((x * torch.randn_like(x)).sum() for x in maps).backward()
    assert [k for k, p in encoder.named_parameters() if p.grad is None] == []
    # A bias in front of a softmax or a batch norm has no gradient by nature, a weight has.
    assert [k for k, p in encoder.named_parameters() if p.ndim > 1 and not p.grad.any()] == []


class PresentMaps(nn.Module):
    """The maps that have channels, as outputs of a graph."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """All maps but the image and the absent ones."""
        maps = self.encoder(images)
        present = [i for i, width in enumerate(self.encoder.out_channels) if i and width]
        return [maps[i] for i in present]


def assert_same_when_exported(encoder: nn.Module, folder: Path) -> None:
    """ONNX Runtime and OpenVINO give torch's maps at sizes other than the traced one."""
    # OpenVINO reports its import to a server unless its telemetry package is missing.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import onnxruntime
    import openvino

    graph = PresentMaps(scatter(encoder)).eval()
    images = torch.rand(1, 3, 64, 64)
    names = [f"map{i}" for i in range(len(graph(images)))]
    path = folder / "encoder.onnx"
    dynamic = {0: "N", 2: "H", 3: "W"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        torch.onnx.export(
            graph,
            (images,),
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=["image"],
            output_names=names,
            dynamic_axes=dict.fromkeys(("image", *names), dynamic),
            do_constant_folding=False,
        )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(str(path), "CPU", exact)
    for shape in ((1, 3, 96, 160), (2, 3, 224, 128)):
        images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            expected = graph(images)
        by_onnxruntime = session.run(names, {"image": images.numpy()})
        by_openvino = compiled(images.numpy())
        for i, want in enumerate(expected):
            assert want.std() > 1e-3
            for got in (by_onnxruntime[i], by_openvino[i]):
                assert got.shape == tuple(want.shape)
                assert (torch.from_numpy(got) - want).abs().max() <= MAX_DIFFERENCE
