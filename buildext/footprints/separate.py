"""Separation: which pixels belong to one building.

A network that only says "building" melts houses that touch into one. Ours also says "contact", the
seam between two of them, and so buildings can be told apart *locally*:

1. building = probability of building ≥ t, on valid pixels;
2. interior = building of at least tk, the core's threshold (≥ t), whose probability of contact is
   below tc;
3. interior pixels that are 4-connected are one component;
4. components grow back over all other building pixels, seams and soft edges, by at most r steps
   from pixel to 4-neighbour, nearest first. A pixel that several components reach in the same step
   goes to the one north of it, else west, east, south: a rule of places and not of numbers;
5. pixels of at least tk that nothing reaches (a seam wider than 2r, a speck that is all seam) stay,
   as components of their own, so that nothing detected is lost; weaker ones are no building.

The two thresholds are those of hysteresis: in a place unlike those of its training a network is
right about where buildings are and less sure of how far they reach.

Where a pixel goes depends on nothing farther than r pixels from it, but for the question which
interior pixels are one component. That one is global, and `assemble` answers it by linking.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components


@dataclass(frozen=True, slots=True)
class SeparationOptions:
    """How probabilities become buildings.

    Attributes:
        threshold_u8: Building where 255 × probability is at least this, 1 to 255.
        contact_threshold_u8: Seam where 255 × contact probability is at least this, 0 to 255; None
            where the model has no contact channel.
        grow_px: How far components grow back over seams, in pixel steps.
        min_area_px: Buildings with fewer pixels of at least the core's threshold are dropped; those
            that are only grown to would let specks in.
        min_hole_px: Holes with fewer pixels are filled, unless they are as large as `min_area_px`:
            such a hole could hold a building of its own, and polygons must not overlap.
        core_threshold_u8: A building begins where it is at least this, not below `threshold_u8`;
            None: the same.

    Raises:
        ValueError: A value is out of its range.
    """

    threshold_u8: int = 128
    contact_threshold_u8: int | None = 128
    grow_px: int = 4
    min_area_px: int = 0
    min_hole_px: int = 0
    core_threshold_u8: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.threshold_u8 <= 255:
            raise ValueError(f"got threshold_u8 {self.threshold_u8}; expected 1 to 255")
        if not self.threshold_u8 <= self.core_u8 <= 255:
            raise ValueError(
                f"got core_threshold_u8 {self.core_threshold_u8}; "
                f"expected {self.threshold_u8} to 255, or None"
            )
        if self.contact_threshold_u8 is not None and not 0 <= self.contact_threshold_u8 <= 255:
            raise ValueError(
                f"got contact_threshold_u8 {self.contact_threshold_u8}; expected 0 to 255 or None"
            )
        if min(self.grow_px, self.min_area_px, self.min_hole_px) < 0:
            raise ValueError(f"got a negative size in {self}; expected 0 or more")

    @property
    def halo_px(self) -> int:
        """How far around a pixel one has to look to decide it: the growth, and its neighbours."""
        return max(1, self.grow_px) if self.grows else 1

    @property
    def core_u8(self) -> int:
        """Where buildings begin."""
        return self.threshold_u8 if self.core_threshold_u8 is None else self.core_threshold_u8

    @property
    def grows(self) -> bool:
        """Whether there are building pixels that are not interior."""
        return self.contact_threshold_u8 is not None or self.core_u8 > self.threshold_u8

    @property
    def filled_hole_px(self) -> int:
        """Holes below this size are filled."""
        return min(self.min_hole_px, self.min_area_px)


def linked(count: int, pairs: NDArray[np.integer]) -> tuple[int, NDArray[np.int32]]:
    """Number the connected components of a graph.

    Args:
        count: Number of nodes.
        pairs: `(P, 2)` nodes that belong together.

    Returns:
        The number of components and, `(count,)`, the component of each node.
    """
    ones = np.ones(len(pairs), np.int8)
    graph = coo_array((ones, (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    number, component = connected_components(graph, directed=False)
    return int(number), component


def label_interior(interior: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Number the 4-connected components of a `(H, W)` mask: labels from 1 (0 outside), how many.

    Runs of pixels in a row are linked instead of pixels: there are far fewer of them.
    """
    height, width = interior.shape
    # Laid end to end, with an empty pixel between rows so that no run goes on into the next one.
    pitch = width + 1
    line = np.zeros(height * pitch + 1, np.bool_)
    line[1:].reshape(height, pitch)[:, :width] = interior
    begin, end = np.flatnonzero(line[1:] != line[:-1]).reshape(-1, 2).T
    # Both rise, so that the runs below that share a column with a run are neighbours in the list.
    first = np.searchsorted(end, begin + pitch, side="right")
    below = np.searchsorted(begin, end + pitch, side="left") - first
    run = np.repeat(np.arange(begin.size), below)
    under = np.arange(run.size) + np.repeat(first - np.cumsum(below) + below, below)
    count, component = linked(begin.size, np.stack([run, under], axis=1))
    labels = np.zeros(interior.shape, np.int32)
    labels[interior] = np.repeat(component + 1, end - begin)
    return labels, count


def grow_back(labels: NDArray[np.int32], seam: NDArray[np.intp], reach_px: int) -> NDArray[np.intp]:
    """Let components grow over seam pixels, in place, one ring of pixels a step.

    Args:
        labels: `(H, W)` contiguous, 0 where unlabelled; its outermost pixels must not be seam.
        seam: Flat indices of the unlabelled building pixels.
        reach_px: Number of steps.

    Returns:
        Flat indices of the seam pixels that no component reached.
    """
    flat = labels.reshape(-1)
    stride = labels.shape[1]
    for _ in range(reach_px):
        if not seam.size:
            break
        found = flat[seam - stride]
        for offset in (-1, 1, stride):
            found = np.where(found > 0, found, flat[seam + offset])
        flat[seam] = found
        seam = seam[found == 0]
    return seam


def label_leftovers(labels: NDArray[np.int32], left: NDArray[np.intp], taken: int) -> int:
    """Number the 4-connected components of the pixels that growth left over, in place.

    Args:
        labels: `(H, W)` contiguous, 0 at the leftover pixels, which are not outermost.
        left: Flat indices of the leftover pixels.
        taken: Labels up to this one are in use; leftovers get the next ones.

    Returns:
        How many labels were added.
    """
    if not left.size:
        return 0
    flat = labels.reshape(-1)
    flat[left] = taken + 1 + np.arange(left.size)
    pairs = []
    for offset in (1, labels.shape[1]):
        neighbour = flat[left + offset] - (taken + 1)
        beside = np.flatnonzero(neighbour >= 0)
        pairs.append(np.stack([beside, neighbour[beside]], axis=1))
    count, component = linked(left.size, np.concatenate(pairs))
    flat[left] = taken + 1 + component
    return count
