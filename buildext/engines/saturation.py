"""Whether a processor's sums of int8 products are right.

Without instructions that add them in 32 bits (VNNI, AMX), OpenVINO and ONNX Runtime multiply bytes
with AVX2's `vpmaddubsw`, which adds two products of an unsigned and a signed byte in 16 bits:
2 · 255 · 127 is 64 770 and comes out as 32 767. Which networks suffer cannot be told from the file.
"""

from __future__ import annotations

import functools

import numpy as np

from buildext.engines.openvino import compile_settings, import_openvino, shared_core

CHANNELS, SIDE_PX = 64, 8
LARGEST_U8, LARGEST_S8 = 255.0, 127.0


@functools.cache
def int8_saturates() -> bool:
    """Whether the sum of products of the largest numbers is too small, asked once a process."""
    openvino = import_openvino()
    graph = openvino.opset13

    def quantised(value: object, low: float, high: float, levels: int) -> object:
        ends = [graph.constant(np.float32(end)) for end in (low, high)]
        return graph.fake_quantize(value, *ends, *ends, levels)

    image = graph.parameter([1, CHANNELS, SIDE_PX, SIDE_PX], np.float32)
    weight = np.full((CHANNELS, CHANNELS, 3, 3), LARGEST_S8, np.float32)
    sums = graph.convolution(
        quantised(image, 0, LARGEST_U8, 256),
        quantised(graph.constant(weight), -LARGEST_S8, LARGEST_S8, 255),
        strides=[1, 1],
        pads_begin=[0, 0],
        pads_end=[0, 0],
        dilations=[1, 1],
    )
    model = openvino.Model([graph.result(sums)], [image])
    compiled = shared_core().compile_model(model, "CPU", compile_settings("CPU", "f32", 0))
    brightest = np.full((1, CHANNELS, SIDE_PX, SIDE_PX), LARGEST_U8, np.float32)
    expected = 9 * CHANNELS * LARGEST_U8 * LARGEST_S8
    return bool(np.abs(compiled(brightest)[0] / expected - 1).max() > 1e-3)
