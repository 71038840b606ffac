"""How many rows are taken at once: bounded memory first, then even use of the device."""

from __future__ import annotations

import pytest

pytest.importorskip("triton")
from nanoplug_kernel_triton.chunks import SLOPE_BYTES, TILE_ROWS, rows_per_chunk

H200 = 132


@pytest.mark.parametrize(
    "count, width, vocabulary, rows",
    [
        (32768, 1280, 65536, 3328),  # 13 x 10 tiles in one wave of 132; 16 x 10 would take two
        (32768, 2048, 65536, 4096),  # 16 x 16 in two waves of 132
        (16384, 768, 32768, 2048),  # an eighth of the rows
        (100, 768, 32768, TILE_ROWS),
        (32768, 1280, 2**21, TILE_ROWS),
    ],
)
def test_rows_on_an_h200(count: int, width: int, vocabulary: int, rows: int) -> None:
    assert rows_per_chunk(count, width, 2 * vocabulary, H200) == rows


@pytest.mark.parametrize("count", [1, 3000, 10**6])
@pytest.mark.parametrize("row_bytes", [64, 131072, 600000])
def test_memory_stays_within_its_bounds(count: int, row_bytes: int) -> None:
    rows = rows_per_chunk(count, 1280, row_bytes, H200)
    assert rows % TILE_ROWS == 0
    assert rows == TILE_ROWS or rows * row_bytes <= min(SLOPE_BYTES, (count // 8 + 1) * row_bytes)
