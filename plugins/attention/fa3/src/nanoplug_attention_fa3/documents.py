"""Document numbers as the offsets that the library wants, without asking the device how many documents there are."""

from __future__ import annotations

import torch
from torch import Tensor

ALWAYS_PER_ROW = 16


def document_limit(batch: int, tokens: int, tokens_per_document: int) -> int:
    """Documents that a batch of B rows of T tokens may hold."""
    return min(batch * tokens, max(ALWAYS_PER_ROW * batch, -(-batch * tokens // tokens_per_document)))


def document_bounds(segments_BT: Tensor, limit: int) -> Tensor:
    """(limit + 1,) int32: where each document starts in the B * T tokens laid end to end, then B * T up to the end.

    A new row starts a new document. The host does not wait: more documents than `limit`, or a number that falls within
    a row, fail on the device, which ends a CUDA process at its next synchronisation.
    """
    batch, tokens = segments_BT.shape
    total = batch * tokens
    steps_BT = segments_BT[:, 1:] - segments_BT[:, :-1]
    first_B1 = torch.ones(batch, 1, dtype=torch.bool, device=segments_BT.device)
    starts_N = torch.cat([first_B1, steps_BT != 0], 1).flatten()
    number_N = starts_N.cumsum(0) - 1
    torch._assert_async(number_N[-1] < limit, f"fa3: a batch holds more than {limit} documents: tokens_per_document")
    torch._assert_async((steps_BT >= 0).all(), "fa3: document numbers must not fall within a row")
    fits_N = starts_N & (number_N < limit)
    slot_N = torch.where(fits_N, number_N, limit)
    place_N = torch.where(fits_N, torch.arange(total, device=segments_BT.device), total)
    bounds = torch.full((limit + 1,), total, dtype=torch.int64, device=segments_BT.device)
    return bounds.scatter(0, slot_N, place_N).to(torch.int32)
