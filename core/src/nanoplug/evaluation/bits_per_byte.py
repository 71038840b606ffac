"""Bits per byte: how many bits the model needs for each byte of held-out text, whatever the tokenizer."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import torch
from attrs import frozen
from torch import Tensor, nn

from nanoplug.contracts import Device
from nanoplug.errors import ContractError


class EvalBatch(Protocol):
    """CPU tensors: inputs and targets int64 (B, T), target -1 ignored; segments as the model takes them, or None."""

    @property
    def inputs_BT(self) -> Tensor: ...
    @property
    def targets_BT(self) -> Tensor: ...
    @property
    def segments_BT(self) -> Tensor | None: ...


@frozen
class BitsPerByte:
    """bpb = nats / (ln 2 * bytes); infinity when no byte was scored.

    nats: sum of the losses. bytes: what the scored targets stand for. tokens: how many were scored.
    """

    bpb: float
    nats: float
    bytes: int
    tokens: int


def bits_per_byte(
    model: nn.Module, batches: Iterable[EvalBatch], token_bytes: Sequence[int] | Tensor, device: Device
) -> BitsPerByte:
    """Score every target that stands for at least one byte; targets of -1 and special tokens count in neither sum.

    model: called as `model(inputs_BT, targets_BT, segments_BT, reduction="none")`; gives fp32 nats, one for each
    target, flat or (B, T). It runs in evaluation mode and is put back into the mode that it was in.
    token_bytes: UTF-8 bytes of each id, 0 for special ids (`Tokenizer.bytes_per_token`).
    Sums are kept on the device in fp64 and int64, and read once, after they are added over all ranks.
    """
    bytes_V = torch.as_tensor(token_bytes, dtype=torch.int64, device="cpu").to(device.torch_device)
    if bytes_V.ndim != 1:
        raise ContractError(f"bits_per_byte: token_bytes has {bytes_V.ndim} axes; it must be (V,).")
    nats = torch.zeros((), dtype=torch.float64, device=device.torch_device)
    counts = torch.zeros(2, dtype=torch.int64, device=device.torch_device)
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                targets_BT = device.put(batch.targets_BT)
                segments_BT = None if batch.segments_BT is None else device.put(batch.segments_BT)
                with device.step():
                    loss = model(device.put(batch.inputs_BT), targets_BT, segments_BT, reduction="none")
                    targets_N = targets_BT.reshape(-1)
                    if loss.numel() != targets_N.numel():
                        raise ContractError(f"bits_per_byte: {loss.numel()} losses for {targets_N.numel()} targets.")
                    bytes_N = torch.where(targets_N < 0, 0, bytes_V[targets_N.clamp(min=0)])
                    scored_N = bytes_N > 0
                    nats += torch.where(scored_N, loss.reshape(-1).double(), 0.0).sum()
                    counts += torch.stack([bytes_N.sum(), scored_N.sum()])
    finally:
        model.train(training)
    total_nats = float(device.sum_over_ranks(nats))
    total_bytes, tokens = (int(count) for count in device.sum_over_ranks(counts).tolist())
    bpb = total_nats / (math.log(2) * total_bytes) if total_bytes else math.inf
    return BitsPerByte(bpb=bpb, nats=total_nats, bytes=total_bytes, tokens=tokens)
