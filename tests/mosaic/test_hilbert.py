from __future__ import annotations

import numpy as np
import pytest

from buildext.mosaic.hilbert import hilbert_index


@pytest.mark.parametrize("levels", [1, 2, 3, 6])
def test_the_curve_visits_every_cell_and_goes_from_each_to_one_beside_it(levels: int) -> None:
    y, x = (places.reshape(-1) for places in np.mgrid[: 2**levels, : 2**levels])
    index = hilbert_index(x, y, levels)
    order = np.argsort(index)
    np.testing.assert_array_equal(index[order], np.arange(4**levels))
    steps = np.abs(np.diff(x[order])) + np.abs(np.diff(y[order]))
    assert (steps == 1).all()


def test_every_quarter_is_visited_in_one_go() -> None:
    y, x = (places.reshape(-1) for places in np.mgrid[:16, :16])
    index = hilbert_index(x, y, 4)
    for right in (False, True):
        for down in (False, True):
            inside = np.sort(index[((x >= 8) == right) & ((y >= 8) == down)])
            np.testing.assert_array_equal(np.diff(inside), 1)


def test_large_lattices_stay_exact() -> None:
    far = 2**30 - 1
    index = hilbert_index([0, far, far, 0], [0, 0, far, far], 30)
    assert index[0] == 0 and index[1] == 4**30 - 1
    assert len(set(index.tolist())) == 4
