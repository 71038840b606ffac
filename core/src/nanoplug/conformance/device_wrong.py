"""A plain right device on the CPU, and deliberately wrong ones that each break one promise of it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nanoplug.errors import ContractError

_CLEAR_REFS = Path("/proc/self/clear_refs")


def can_reset_host_peak() -> bool:
    """Whether the kernel lets this process set its memory high-water mark back (Linux)."""
    return sys.platform == "linux" and os.access(_CLEAR_REFS, os.W_OK)


def _status_bytes(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    return 0


class PlainDevice:
    """Serves `contracts.Device` in the simplest way; every law holds on it. Linux only."""

    type = "cpu"
    rank = 0
    world_size = 1

    def __init__(self) -> None:
        self.name = "plain"
        self.torch_device = torch.device("cpu")

    def compute_dtype(self, name: str) -> torch.dtype:
        known = {"auto": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16}
        if name not in known:
            raise ContractError(f"plain device: dtype {name!r} is not served.", todo="Use auto, fp32 or bf16.")
        return known[name]

    def seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def rng_state(self) -> dict[str, Tensor]:
        return {"cpu": torch.get_rng_state()}

    def set_rng_state(self, state: Mapping[str, Tensor]) -> None:
        torch.set_rng_state(state["cpu"])

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    def compiles_by_default(self) -> bool:
        return False

    def step(self) -> AbstractContextManager[None]:
        return nullcontext()

    def checkpointed(self, function: Callable[..., Any], *args: Any) -> Any:
        return checkpoint(function, *args, use_reentrant=False)

    def put(self, tensor: Tensor) -> Tensor:
        return tensor.clone()

    def reduce_gradients(self, parameters: Iterable[Tensor]) -> None:
        """One process."""

    def sum_over_ranks(self, tensor: Tensor) -> Tensor:
        return tensor

    def agree(self, text: str, what: str) -> None:
        """One process."""

    def synchronize(self) -> None:
        """Nothing is asynchronous."""

    def peak_memory_bytes(self) -> int:
        return _status_bytes("VmHWM")

    def reset_peak_memory(self) -> None:
        if can_reset_host_peak():
            _CLEAR_REFS.write_text("5")

    def peak_flops(self, dtype: torch.dtype) -> float | None:
        return None

    def close(self) -> None:
        """Nothing is held."""


class Nameless(PlainDevice):
    def __init__(self) -> None:
        super().__init__()
        self.name = ""


class TypeElsewhere(PlainDevice):
    type = "cuda"


class RankBeyondWorld(PlainDevice):
    rank = 1


class SeedsNothing(PlainDevice):
    def seed(self, seed: int) -> None:
        torch.seed()


class SeedsAlike(PlainDevice):
    def seed(self, seed: int) -> None:
        torch.manual_seed(42)


class ForgetsRandomState(PlainDevice):
    def rng_state(self) -> dict[str, Tensor]:
        return {}

    def set_rng_state(self, state: Mapping[str, Tensor]) -> None:
        return None


class RestoresSeedOnly(PlainDevice):
    def set_rng_state(self, state: Mapping[str, Tensor]) -> None:
        torch.manual_seed(torch.initial_seed())


class RandomStateAsFloats(PlainDevice):
    def rng_state(self) -> dict[str, Tensor]:
        return {"cpu": torch.get_rng_state().float()}

    def set_rng_state(self, state: Mapping[str, Tensor]) -> None:
        torch.set_rng_state(state["cpu"].byte())


class PutsTheSourceItself(PlainDevice):
    def put(self, tensor: Tensor) -> Tensor:
        return tensor


class PutsAsFloat(PlainDevice):
    def put(self, tensor: Tensor) -> Tensor:
        return tensor.to(torch.float32, copy=True)


class PutsFlat(PlainDevice):
    def put(self, tensor: Tensor) -> Tensor:
        return tensor.flatten().clone()


class PutsIntoOneBuffer(PlainDevice):
    """The next `put` of the same shape overwrites what the last one gave."""

    def __init__(self) -> None:
        super().__init__()
        self.buffers: dict[tuple[Any, ...], Tensor] = {}

    def put(self, tensor: Tensor) -> Tensor:
        buffer = self.buffers.setdefault((tensor.shape, tensor.dtype), torch.empty_like(tensor))
        return buffer.copy_(tensor)


class FallsBackToFp32(PlainDevice):
    def compute_dtype(self, name: str) -> torch.dtype:
        return torch.bfloat16 if name == "bf16" else torch.float32


class ComputesInFp32Anyway(PlainDevice):
    def compute_dtype(self, name: str) -> torch.dtype:
        super().compute_dtype(name)
        return torch.float32


class AutoIsDouble(PlainDevice):
    def compute_dtype(self, name: str) -> torch.dtype:
        return torch.float64 if name == "auto" else super().compute_dtype(name)


class CompiledRoundsToBf16(PlainDevice):
    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: function(*(arg.bfloat16().float() for arg in args))


class CompiledRepeatsFirstResult(PlainDevice):
    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        results: list[Any] = []

        def run(*args: Any) -> Any:
            if not results:
                results.append(function(*args))
            return results[0]

        return run


class CompilesForEachValue(PlainDevice):
    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled = torch.compile(lambda key, *args: function(*args) + 0.0 * key, dynamic=False, backend="eager")
        return lambda *args: compiled(str(args[0].sum().item()).count("1") + int(args[0].sum().item() * 1e4), *args)


class StepWithoutGradients(PlainDevice):
    def step(self) -> AbstractContextManager[None]:
        return torch.no_grad()


class StepRoundsToBf16(PlainDevice):
    def step(self) -> AbstractContextManager[None]:
        return torch.autocast("cpu", dtype=torch.bfloat16)


class StepSwallowsErrors(PlainDevice):
    def step(self) -> AbstractContextManager[None]:
        return suppress(Exception)


class CheckpointedSavesEverything(PlainDevice):
    def checkpointed(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


class CheckpointedDrawsAgain(PlainDevice):
    def checkpointed(self, function: Callable[..., Any], *args: Any) -> Any:
        return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=False)


class CheckpointedWithoutGradients(PlainDevice):
    def checkpointed(self, function: Callable[..., Any], *args: Any) -> Any:
        with torch.no_grad():
            function(*args)
            return function(*args)


class ReducesByHalf(PlainDevice):
    def reduce_gradients(self, parameters: Iterable[Tensor]) -> None:
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.div_(2)


class SumsTwice(PlainDevice):
    def sum_over_ranks(self, tensor: Tensor) -> Tensor:
        return tensor * 2


class NeverAgrees(PlainDevice):
    def agree(self, text: str, what: str) -> None:
        raise RuntimeError(f"{what} differs")


class SynchronizesNothing(PlainDevice):
    """`put` finishes some time after it returned, and `synchronize` does not wait for it."""

    def put(self, tensor: Tensor) -> Tensor:
        source, target = tensor.clone(), torch.zeros_like(tensor)

        def late() -> None:
            time.sleep(0.05)
            target.copy_(source)

        threading.Thread(target=late, daemon=True).start()
        return target


class PeakIsZero(PlainDevice):
    def peak_memory_bytes(self) -> int:
        return 0


class PeakIsConstant(PlainDevice):
    def peak_memory_bytes(self) -> int:
        return 1 << 30


class PeakIsPresent(PlainDevice):
    def peak_memory_bytes(self) -> int:
        return _status_bytes("VmRSS")


class PeakNeverResets(PlainDevice):
    def reset_peak_memory(self) -> None:
        return None


class FlopsAreZero(PlainDevice):
    def peak_flops(self, dtype: torch.dtype) -> float | None:
        return 0.0


class FlopsAreNotANumber(PlainDevice):
    def peak_flops(self, dtype: torch.dtype) -> float | None:
        return float("nan")


class ClosesOnce(PlainDevice):
    closed = False

    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True
