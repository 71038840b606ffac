"""Training and inference on the processor, in one process."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nanoplug.errors import ContractError, PluginError, nearest

_DTYPES = {"auto": torch.float32, "fp32": torch.float32, "bf16": torch.bfloat16}
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


class CpuDevice:
    """Serves `nanoplug.contracts.Device`. threads: threads of one operation; 0 leaves torch's own choice."""

    type = "cpu"

    def __init__(self, *, threads: int = 0) -> None:
        _refuse_several_processes()
        if threads < 0:
            raise PluginError(f"device 'cpu': threads is {threads}; it must be 0 (torch's own choice) or more.")
        if threads:
            torch.set_num_threads(threads)
        self.name = _product_name()
        self.torch_device = torch.device("cpu")
        self.rank = 0
        self.world_size = 1

    def compute_dtype(self, name: str) -> torch.dtype:
        if name == "fp16":
            raise ContractError(
                "device 'cpu': fp16 is not served: training has no loss scaling.", todo="Use fp32, bf16 or auto."
            )
        if name not in _DTYPES:
            raise ContractError(
                f"device 'cpu': unknown dtype {name!r}{nearest(name, _DTYPES)}.", todo="Use fp32, bf16 or auto."
            )
        return _DTYPES[name]

    def seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def rng_state(self) -> dict[str, Tensor]:
        return {"cpu": torch.get_rng_state()}

    def set_rng_state(self, state: Mapping[str, Tensor]) -> None:
        if set(state) != {"cpu"}:
            raise ContractError(
                f"device 'cpu': random states are {sorted(state)}; expected ['cpu'].",
                todo="They were saved on another device: go on there, or start a fresh run.",
            )
        torch.set_rng_state(state["cpu"])

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        _require_compiler()
        return torch.compile(function, dynamic=False)

    def compiles_by_default(self) -> bool:
        return False

    def step(self) -> AbstractContextManager[None]:
        return nullcontext()

    def checkpointed(self, function: Callable[..., Any], *args: Any) -> Any:
        return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=True)

    def put(self, tensor: Tensor) -> Tensor:
        if tensor.device.type != "cpu":
            raise ContractError(f"device 'cpu': put takes a CPU tensor, got one on {tensor.device}.")
        return tensor.detach().clone()

    def reduce_gradients(self, parameters: Iterable[Tensor]) -> None:
        """One process: gradients are whole already."""

    def sum_over_ranks(self, tensor: Tensor) -> Tensor:
        return tensor

    def agree(self, text: str, what: str) -> None:
        """One process agrees with itself."""

    def synchronize(self) -> None:
        """Calls on this device are finished when they return."""

    def peak_memory_bytes(self) -> int:
        """Most resident memory of the process, the interpreter and its libraries included.

        Where the kernel cannot reset its high-water mark (anything but Linux), since the process began.
        """
        if _can_reset_peak():
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        unit_bytes = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes

    def reset_peak_memory(self) -> None:
        if _can_reset_peak():
            # "5" sets the high-water mark to the present: man 5 proc_pid_clear_refs.
            _CLEAR_REFS.write_text("5")

    def peak_flops(self, dtype: torch.dtype) -> float | None:
        """None: a processor's datasheet names no rate that its cores sustain."""
        return None

    def close(self) -> None:
        """Nothing is held."""


def _refuse_several_processes() -> None:
    given = {name: os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    if all(given.values()) and given["WORLD_SIZE"] != "1":
        raise PluginError(
            f"device 'cpu' does not serve several processes yet; WORLD_SIZE is {given['WORLD_SIZE']}.",
            todo="Start one process without torchrun, or unset RANK, LOCAL_RANK and WORLD_SIZE.",
        )


def _product_name() -> str:
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        brand = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    else:
        info = Path("/proc/cpuinfo")
        lines = info.read_text().splitlines() if info.is_file() else []
        brand = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return brand or platform.processor() or platform.machine() or "CPU"


def _require_compiler() -> None:
    """PluginError unless what torch.compile builds with on a CPU is here: a C++ compiler and Python's headers."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(compiler) is None:
        raise PluginError(
            f"device 'cpu': torch.compile needs a C++ compiler, and {compiler} is not on PATH.",
            todo="Install it (Debian and Ubuntu: apt-get install g++), or turn compilation off.",
        )
    headers = Path(sysconfig.get_path("include"), "Python.h")
    if not headers.is_file():
        raise PluginError(
            f"device 'cpu': torch.compile needs Python's headers, and {headers} is missing.",
            todo="Install them (Debian and Ubuntu: apt-get install python3-dev), or turn compilation off.",
        )


def _can_reset_peak() -> bool:
    return os.access(_CLEAR_REFS, os.W_OK)
