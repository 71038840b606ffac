"""What a call does behind its result: memory that it holds, and reads that make the host wait."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

# Operators whose result or shape must be known on the host: each waits for the device.
HOST_READS = frozenset(
    {
        "aten::_local_scalar_dense",
        "aten::nonzero",
        "aten::masked_select",
        "aten::equal",
        "aten::_unique2",
        "aten::unique_consecutive",
    }
)


class HostReads(TorchDispatchMode):
    """Collects in `seen` the operators that wait for the device. Works on any device, the CPU included."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """A backend that compiles its own call is watched as it really runs, compiled."""
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().split(".")[0]
        result = func(*args, **(kwargs or {}))
        if name in HOST_READS or _copies_to_host(name, args, result) or _selects_by_mask(name, args):
            self.seen.append(name)
        return result


def _copies_to_host(name: str, args: Any, result: Any) -> bool:
    return name == "aten::_to_copy" and args[0].device.type != "cpu" and bool(result.device.type == "cpu")


def _selects_by_mask(name: str, args: Any) -> bool:
    """Indexing with booleans counts them first."""
    if name not in ("aten::index", "aten::index_put", "aten::index_put_"):
        return False
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])


def peak_bytes(call: Callable[[], object], device: str) -> int:
    """Most bytes held at once during `call` beyond what was there before, its results included.

    Read from the allocator, so that what fused and custom operators hold inside counts too. `call` runs twice: the
    first time libraries take their workspaces. For `cpu` and `cuda`.
    """
    call()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        result = call()
        torch.cuda.synchronize(device)
        del result
        return torch.cuda.max_memory_allocated(device) - before
    with native_stderr_closed(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        result = call()
        del result
    events = [event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"]
    sizes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(accumulate(sizes), default=0)


@contextmanager
def native_stderr_closed() -> Iterator[None]:
    """Some builds of torch log each start of the profiler to the process's stderr, below Python."""
    sys.stderr.flush()
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
