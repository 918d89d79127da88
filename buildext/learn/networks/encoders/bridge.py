"""A few tokens beside a map: how they take from it, mix, give back, and tell it what to do.

The four parts of a Mobile-Former block (Chen et al. 2022, arXiv 2108.05895) that know of tokens;
`mobile_former` has the whole. The map is `(N, C, H, W)` of any size, the tokens are `(N, M, D)`.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

HEADS_ACROSS = 2
HEADS_AMONG = 4


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """`(N, T, C)` to `(N, heads, T, C / heads)`."""
    n, count, width = x.shape
    return x.reshape(n, count, heads, width // heads).transpose(1, 2)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int) -> torch.Tensor:
    """Attention of `q` to `k` and `v`, all `(N, T, C)`, to `(N, T of q, C)`."""
    split = (split_heads(q, heads), split_heads(k, heads), split_heads(v, heads))
    return F.scaled_dot_product_attention(*split).transpose(1, 2).reshape(q.shape)


class MobileToFormer(nn.Module):
    """The tokens take from the map what they ask for."""

    def __init__(self, dim: int, token_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(token_width, dim)
        self.gate = nn.Linear(token_width, dim)
        self.proj = nn.Linear(dim, token_width)
        self.norm = nn.LayerNorm(token_width)

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """A map `(N, C, H, W)` and tokens `(N, M, D)` to tokens."""
        places = x.flatten(2).transpose(1, 2)
        taken = attend(self.query(tokens), places, places, HEADS_ACROSS)
        taken = 2 * F.hardsigmoid(self.gate(tokens)) * taken
        out: torch.Tensor = self.norm(tokens + self.proj(taken))
        return out


class Former(nn.Module):
    """Self-attention and a perceptron among the tokens, with norms behind them."""

    def __init__(self, token_width: int) -> None:
        super().__init__()
        self.query = nn.Linear(token_width, token_width)
        self.proj = nn.Linear(token_width, token_width)
        self.norm1 = nn.LayerNorm(token_width)
        self.fc1 = nn.Linear(token_width, 2 * token_width)
        self.fc2 = nn.Linear(2 * token_width, token_width)
        self.norm2 = nn.LayerNorm(token_width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """`(N, M, D)` to the same shape."""
        mixed = attend(self.query(tokens), tokens, tokens, HEADS_AMONG)
        tokens = self.norm1(tokens + self.proj(mixed))
        out: torch.Tensor = self.norm2(tokens + self.fc2(F.gelu(self.fc1(tokens))))
        return out


class FormerToMobile(nn.Module):
    """The map takes from the tokens what it asks for."""

    def __init__(self, dim: int, token_width: int) -> None:
        super().__init__()
        self.key = nn.Linear(token_width, dim)
        self.value = nn.Linear(token_width, dim)

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """A map `(N, C, H, W)` and tokens `(N, M, D)` to a map."""
        places = x.flatten(2).transpose(1, 2)
        given = attend(places, self.key(tokens), self.value(tokens), HEADS_ACROSS)
        return x + given.transpose(1, 2).reshape(x.shape)


class DynamicReLU(nn.Module):
    """The larger of two lines through 0; at first it is the ReLU, for slopes begin near 1 and 0."""

    def __init__(self, dim: int, token_width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(token_width, token_width // 4)
        self.fc2 = nn.Linear(token_width // 4, 2 * dim)

    def forward(self, x: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """A map `(N, C, H, W)` and tokens `(N, M, D)`, of which the first rules, to a map."""
        told = self.fc2(F.relu(self.fc1(tokens[:, 0])))
        swing = 2 * F.hardsigmoid(told)[:, :, None, None] - 1
        first, second = swing.chunk(2, dim=1)
        return torch.maximum(x * (first + 1), x * second)
