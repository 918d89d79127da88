"""What a test needs of the processor."""

from __future__ import annotations

import pytest

from buildext.engines.saturation import int8_saturates

exact_sums = pytest.mark.skipif(
    int8_saturates(), reason="this processor adds int8 products in 16 bits"
)
