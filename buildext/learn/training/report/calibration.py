"""Calibration: does "80 % building" turn out to be building in 80 of 100 pixels?

Pixels are put into bins of equal width by their probability. In a calibrated network the share of
building pixels in a bin equals the mean probability there; the expected calibration error is the
mean of the difference over all pixels (Naeini et al., "Obtaining well calibrated probabilities
using Bayesian binning", AAAI 2015):

    ECE = Σ_b  n_b / n · | share_b − confidence_b |

Most pixels of a scene are plainly ground, at probabilities near 0; they keep the ECE low whatever
happens elsewhere, so the diagram with its counts says more than the number.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from buildext.page.figure import COLOURS, INK, as_svg, new_figure

BINS = 15


def _zeros() -> NDArray[np.float64]:
    return np.zeros(BINS)


@dataclass(frozen=True, slots=True)
class Reliability:
    """Counts by probability bin, added up tile by tile; each array is float64 `(BINS,)`.

    Attributes:
        pixels: number of pixels.
        probability: sum of their probabilities.
        building: number of those that are building.
    """

    pixels: NDArray[np.float64] = field(default_factory=_zeros)
    probability: NDArray[np.float64] = field(default_factory=_zeros)
    building: NDArray[np.float64] = field(default_factory=_zeros)

    def add(self, probability: NDArray[np.float32], truth: NDArray[np.bool_]) -> None:
        """Count some labelled pixels, `(P,)` both."""
        bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
        self.pixels[:] += np.bincount(bins, minlength=BINS)
        self.probability[:] += np.bincount(bins, weights=probability, minlength=BINS)
        self.building[:] += np.bincount(bins, weights=truth, minlength=BINS)

    @property
    def error(self) -> float:
        """The expected calibration error; nan without pixels."""
        count = self.pixels.sum()
        return float(np.abs(self.building - self.probability).sum() / count) if count else np.nan


def draw_reliability(counts: dict[str, Reliability], name: str) -> str:
    """Reliability diagrams as SVG, one a channel."""
    shown = {channel: c for channel, c in counts.items() if c.pixels.sum()}
    with new_figure(4.6 * max(len(shown), 1), 4.4) as figure:
        all_axes = figure.subplots(1, max(len(shown), 1), squeeze=False)[0]
        for number, (channel, count) in enumerate(shown.items()):
            axes, colour = all_axes[number], COLOURS[number % len(COLOURS)]
            used = count.pixels > 0
            confidence = count.probability[used] / count.pixels[used]
            share = count.building[used] / count.pixels[used]
            axes.plot([0, 1], [0, 1], "--", color=INK, alpha=0.5, linewidth=1)
            axes.plot(confidence, share, "o-", color=colour, markersize=5)
            axes.set_title(f"{channel}: ECE {count.error:.4f}")
            axes.set_xlabel("predicted probability")
            axes.set_ylabel("share that is true")
            axes.set_box_aspect(1)
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.02, 1.02)
            counts_axes = axes.twinx()
            edges = np.linspace(0, 1, BINS + 1)
            counts_axes.bar(
                edges[:-1], count.pixels, 1 / BINS, align="edge", color=INK, alpha=0.12, zorder=0
            )
            counts_axes.set_yscale("log")
            # Bars in the lower third, out of the way of the curve.
            counts_axes.set_ylim(1, float(count.pixels.max()) ** 3)
            counts_axes.set_axis_off()
        return as_svg(figure, name)
