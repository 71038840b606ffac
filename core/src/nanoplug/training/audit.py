"""Declared against observed, before a run begins: does the claimed kernel launch, does memory grow as declared.

One step of made-up tokens is profiled, and the attention and the loss are measured at two sizes. Nothing of the run is
touched: no gradient is kept, no random state moves, no batch is taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from attrs import frozen
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from nanoplug.conformance.measure import normal
from nanoplug.conformance.watch import native_stderr_closed, peak_bytes
from nanoplug.contracts import Attention, Device, Kernel, Mask
from nanoplug.errors import NanoplugError

# Between the growth that is declared and the next class, in the middle of their logarithms: twice the tokens.
MOST_GROWTH = {"linear": 2**1.5, "chunk": 2**1.5, "quadratic": 2**2.5, "logits": 2**1.5}
# Of all logits at the larger size, what the loss may hold beyond inputs, gradients and their fp32 sums.
MOST_OF_LOGITS = {"tile": 1 / 16, "chunk": 1 / 2}
STEADY = 2**0.5


@frozen(kw_only=True)
class Claim:
    """What the backend of a site declares. launches: by device type, as in its spec; memory: its class."""

    site: str
    name: str
    launches: Mapping[str, Sequence[str]]
    memory: str
    max_tokens: int | None = None


def launched_names(step: Callable[[], object], device: Device) -> frozenset[str]:
    """Names of the operators and kernels that one call of `step` runs; it is called once before, to compile."""
    step()
    device.synchronize()
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with native_stderr_closed(), profile(activities=activities) as profiled:
        step()
        device.synchronize()
    return frozenset(event.name() for event in profiled.profiler.kineto_results.events())


def training_step(
    loss_of: Callable[..., Tensor],
    parameters: Iterable[Tensor],
    *,
    batch_size: int,
    tokens: int,
    vocabulary: int,
    segments: bool,
    device: Device,
) -> Callable[[], object]:
    """Forward and backward of one micro-batch of made-up tokens; gradients are dropped."""
    leaves = [parameter for parameter in parameters if parameter.requires_grad]
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(vocabulary, (batch_size, tokens + 1), generator=generator)
    inputs_BT, targets_BT = device.put(ids_BT[:, :-1].contiguous()), device.put(ids_BT[:, 1:].contiguous())
    documents_BT = (torch.arange(tokens) * 4 // tokens).expand(batch_size, -1).contiguous()
    segments_BT = device.put(documents_BT) if segments else None

    def step() -> None:
        with device.step():
            loss = loss_of(inputs_BT, targets_BT, segments_BT)
            torch.autograd.grad(loss, leaves, allow_unused=True)

    return step


def check_launches(claim: Claim, names: frozenset[str], device_type: str) -> str:
    """A line on what was found. Raises NanoplugError if something that is claimed was not launched."""
    patterns = claim.launches.get(device_type, ())
    if not patterns:
        return f"{claim.name} declares no launches on {device_type}: whether it ran cannot be audited"
    found = {pattern: sorted(name for name in names if re.search(pattern, name)) for pattern in patterns}
    missing = [pattern for pattern, matches in found.items() if not matches]
    if missing:
        raise NanoplugError(
            f"audit: {claim.site} {claim.name!r} claims to launch {', '.join(missing)}; none of the {len(names)}"
            " operators and kernels of one step has such a name.",
            details=[f"launched: {', '.join(_telling(names))}"],
            todo="Something else did its work, or its spec is wrong: tell its author, or choose another backend.",
        )
    return f"{claim.name} launched {', '.join(matches[0] for matches in found.values())}"


def _telling(names: Iterable[str], most: int = 12) -> list[str]:
    """Names that may tell what ran instead."""
    likely = re.compile(r"attention|attn|sdpa|flash|fmha|softmax|cross|nll|loss|nanoplug", re.IGNORECASE)
    return sorted(name for name in names if likely.search(name))[:most] or ["nothing that looks like it"]


def check_attention_memory(
    claim: Claim,
    attention: Attention,
    *,
    device: Device,
    dtype: torch.dtype,
    heads: int,
    groups: int,
    head_dim: int,
    window: int,
) -> str:
    """Forward and backward at T and 2T. Raises NanoplugError if memory grows faster than the declared class."""
    tokens = 4096 if device.type == "cuda" else 1024
    if claim.max_tokens is not None:
        tokens = min(tokens, claim.max_tokens // 2)
    ratio = heads // groups

    def bytes_at(length: int) -> int:
        q = _leaf(0, (1, length, ratio, head_dim), device, dtype)
        k, v = (_leaf(seed, (1, length, 1, head_dim), device, dtype) for seed in (1, 2))
        upstream = torch.ones_like(q)

        def call() -> object:
            output = attention.attend(q, k, v, mask=Mask(window=window))
            return output.detach(), torch.autograd.grad(output, (q, k, v), upstream)

        return _peak_bytes(claim, call, device)

    small, large = bytes_at(tokens), bytes_at(2 * tokens)
    growth = large / max(1, small)
    found = f"memory x {growth:.2f} from T {tokens:,} to {2 * tokens:,}, declared {claim.memory}"
    if growth > MOST_GROWTH[claim.memory]:
        raise _outside(claim, found, f"at most x {MOST_GROWTH[claim.memory]:.2f} is allowed")
    return found


def check_loss_memory(
    claim: Claim,
    kernel: Kernel,
    *,
    device: Device,
    dtype: torch.dtype,
    width: int,
    vocabulary: int,
    softcap: float | None,
) -> str:
    """The loss at N and 2N rows. Raises NanoplugError if it holds more of the logits than the declared class allows."""
    rows, width, vocabulary = _loss_sizes(claim, device, width, vocabulary)

    def bytes_at(length: int) -> int:
        hidden_ND, weight_VD = (_leaf(size, (size, width), device, dtype) for size in (length, vocabulary))
        targets_N = torch.randint(vocabulary, (length,), generator=torch.Generator().manual_seed(2))
        targets_N = device.put(targets_N)

        def call() -> object:
            loss = kernel.linear_cross_entropy(hidden_ND, weight_VD, targets_N, softcap=softcap)
            return torch.autograd.grad(loss, (hidden_ND, weight_VD))

        gradients = (length + vocabulary) * width * (dtype.itemsize + 4)
        return max(1, _peak_bytes(claim, call, device) - gradients)

    small, large = bytes_at(rows), bytes_at(2 * rows)
    share = large / (2 * rows * vocabulary * dtype.itemsize)
    found = (
        f"beside gradients it holds {share:.2f} of the logits at N {2 * rows:,}, x {large / small:.2f} from {rows:,},"
        f" declared {claim.memory}"
    )
    if claim.memory == "logits":
        if large > MOST_GROWTH["logits"] * small:
            raise _outside(claim, found, f"at most x {MOST_GROWTH['logits']:.2f} is allowed")
    elif share > MOST_OF_LOGITS[claim.memory] and large > STEADY * small:
        raise _outside(claim, found, f"at most {MOST_OF_LOGITS[claim.memory]:g} of them is allowed")
    return found


def _loss_sizes(claim: Claim, device: Device, width: int, vocabulary: int) -> tuple[int, int, int]:
    """N, D and V to begin with. V is large beside D: what is held for each row or weight must not look like logits.

    What may hold all logits is measured where they fit; the others at the sizes by which they plan their chunks.
    """
    if device.type != "cuda":
        return 8192, min(width, 32), 2048
    return (8192, width, 8192) if claim.memory == "logits" else (32768, width, max(vocabulary, 8192))


def _peak_bytes(claim: Claim, call: Callable[[], object], device: Device) -> int:
    try:
        return peak_bytes(call, str(device.torch_device))
    except torch.OutOfMemoryError as error:
        raise _outside(claim, f"out of memory, declared {claim.memory}", "at the audit's sizes it must fit") from error


def _outside(claim: Claim, found: str, expected: str) -> NanoplugError:
    return NanoplugError(
        f"audit: {claim.site} {claim.name!r}: {found}; {expected}.",
        todo="It may take all memory at a larger size: tell its author, or choose another backend.",
    )


def _leaf(seed: int, shape: Sequence[int], device: Device, dtype: torch.dtype) -> Tensor:
    return normal(seed, *shape).to(device=device.torch_device, dtype=dtype).requires_grad_()


def memory_is_measured(device: Device) -> bool:
    return device.type in ("cpu", "cuda")


def claim_of(site: str, name: str, capabilities: Mapping[str, Any]) -> Claim:
    """From what a spec declares, as plain values."""
    return Claim(
        site=site,
        name=name,
        launches=capabilities["launches"],
        memory=capabilities["memory"],
        max_tokens=capabilities.get("max_tokens"),
    )
