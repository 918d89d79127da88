"""Position tables of a fixed size, used at any size.

A vision transformer learns where things are from a table: one vector for each place of the map
(*absolute*), or one number for each offset between two places (*relative*). The table has the size
of the map that it was trained on. Here it stays a parameter of that size, so that pretrained files
load strictly, and is interpolated to the map at hand inside the graph: heights and widths may
differ from call to call and stay dynamic in an exported network.

At the size of the table both functions return the table itself, up to the last bits of rounding.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F


def window_aligned(
    table: torch.Tensor, side: int, window: int, height: int, width: int
) -> torch.Tensor:
    """An absolute position table for a map of another size, in step with attention windows.

    A network with windowed attention learns a table that repeats from window to window, beside a
    slow trend. Stretching the whole would put the repetition out of step with the windows (Bolya
    et al. 2023, "Window Attention is Bugged", arXiv 2311.05613), who train the two parts apart,
    tile the one and interpolate the other. A table that was trained whole is taken apart here:
    the mean over its windows is the repeating part, what is left is the trend.

    Args:
        table: `(1, side * side, C)`.
        side: height and width of the table, a multiple of `window`.
        window: side of an attention window.
        height: of the map, a multiple of `window`.
        width: of the map, a multiple of `window`.

    Returns:
        `(1, height, width, C)`.
    """
    channels = table.shape[-1]
    count = side // window
    split = table.reshape(count, window, count, window, channels)
    repeating = split.mean(dim=(0, 2))
    trend = (split - repeating[:, None]).reshape(1, side, side, channels).permute(0, 3, 1, 2)
    # Not antialiased: opset 17 has no such Resize, and the trend holds little to be aliased.
    trend = F.interpolate(trend, size=(height, width), mode="bicubic", align_corners=False)
    tiles = trend.permute(0, 2, 3, 1).reshape(
        height // window, window, width // window, window, channels
    )
    return (tiles + repeating[:, None]).reshape(1, height, width, channels)


def relative_bias(
    table: torch.Tensor, side: int, height: int, width: int, query_step: int = 1
) -> torch.Tensor:
    """Attention biases of a map from a table of absolute offsets (Graham et al. 2021, LeViT).

    The table holds one number a head for each offset `(|dy|, |dx|)` below `side`. It is stretched
    so that the smallest and the largest offset of the map at hand meet the smallest and the
    largest of the table: a map twice as large is read as the same picture, finer.

    Args:
        table: `(heads, side * side)`.
        side: height and width of the map that the table was made for.
        height: of the map of keys.
        width: of the map of keys.
        query_step: the queries are every `query_step`-th key in both directions.

    Returns:
        `(heads, queries, height * width)`, row by row.
    """
    heads = table.shape[0]
    offsets = F.interpolate(
        table.reshape(1, heads, side, side),
        size=(height, width),
        mode="bilinear",
        align_corners=True,
    )[0]
    key_y = torch.arange(height, device=table.device)
    key_x = torch.arange(width, device=table.device)
    query_y, query_x = key_y[::query_step], key_x[::query_step]
    dy = (query_y[:, None] - key_y).abs()
    dx = (query_x[:, None] - key_x).abs()
    # One axis after the other: two gathers of vectors, and no index of all pairs.
    biases = offsets.index_select(1, dy.flatten()).index_select(2, dx.flatten())
    biases = biases.reshape(heads, query_y.shape[0], height, query_x.shape[0], width)
    return biases.permute(0, 1, 3, 2, 4).reshape(heads, -1, height * width)
