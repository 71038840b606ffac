"""Training and inference on one NVIDIA GPU, in one process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from nanoplug.base_folder import base_folder
from nanoplug.errors import ContractError, PluginError, nearest
from nanoplug_device_cuda import gb10
from nanoplug_device_cuda.peaks import PEAKS

_NAMES = ("auto", "fp32", "bf16")


class CudaDevice:
    """Serves `nanoplug.contracts.Device`.

    index: which GPU. tf32: fp32 matrix products round their inputs to TF32.
    Raises PluginError if there is no such GPU, or in one of several processes.
    """

    type = "cuda"

    def __init__(self, *, index: int = 0, tf32: bool = True) -> None:
        _refuse_several_processes()
        _prepare_environment()
        _require_gpu(index)
        torch.cuda.set_device(index)
        torch.set_float32_matmul_precision("high" if tf32 else "highest")
        torch.backends.cudnn.benchmark = True
        self.tf32 = tf32
        self.name = torch.cuda.get_device_name(index)
        self.torch_device = torch.device("cuda", index)
        self.rank = 0
        self.world_size = 1
        self._has_bf16 = torch.cuda.get_device_capability(index) >= (8, 0)
        if self.name == gb10.NAME:
            gb10.prepare()

    def compute_dtype(self, name: str) -> torch.dtype:
        """`auto` is bf16, and fp32 on GPUs older than compute capability 8.0, which only emulate bf16."""
        if name == "fp16":
            raise ContractError(
                "device 'cuda': fp16 is not served: training has no loss scaling.", todo="Use bf16, fp32 or auto."
            )
        if name not in _NAMES:
            raise ContractError(
                f"device 'cuda': unknown dtype {name!r}{nearest(name, _NAMES)}.", todo="Use bf16, fp32 or auto."
            )
        if name == "auto":
            return torch.bfloat16 if self._has_bf16 else torch.float32
        return torch.bfloat16 if name == "bf16" else torch.float32

    def seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def rng_state(self) -> dict[str, Tensor]:
        return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state(self.torch_device)}

    def set_rng_state(self, state: Mapping[str, Tensor]) -> None:
        if set(state) != {"cpu", "cuda"}:
            raise ContractError(
                f"device 'cuda': random states are {sorted(state)}; expected ['cpu', 'cuda'].",
                todo="They were saved on another device: go on there, or start a fresh run.",
            )
        torch.set_rng_state(state["cpu"])
        torch.cuda.set_rng_state(state["cuda"], self.torch_device)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return torch.compile(function, dynamic=False)

    def compiles_by_default(self) -> bool:
        return True

    def step(self) -> AbstractContextManager[None]:
        return nullcontext()

    def checkpointed(self, function: Callable[..., Any], *args: Any) -> Any:
        return checkpoint(function, *args, use_reentrant=False, preserve_rng_state=True)

    def put(self, tensor: Tensor) -> Tensor:
        if tensor.device.type != "cpu":
            raise ContractError(f"device 'cuda': put takes a CPU tensor, got one on {tensor.device}.")
        # The staging buffer is ours even if the source is pinned, so the source may change at once. Torch's
        # pinned-memory allocator keeps the buffer from reuse until the copy that reads it has finished.
        staging = torch.empty_like(tensor, pin_memory=True, requires_grad=False)
        staging.copy_(tensor.detach())
        return staging.to(self.torch_device, non_blocking=True)

    def reduce_gradients(self, parameters: Iterable[Tensor]) -> None:
        """One process: gradients are whole already."""

    def sum_over_ranks(self, tensor: Tensor) -> Tensor:
        return tensor

    def agree(self, text: str, what: str) -> None:
        """One process agrees with itself."""

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.torch_device)

    def peak_memory_bytes(self) -> int:
        """Most bytes that tensors of this process held; the CUDA context and the allocator's cache are not in it."""
        return torch.cuda.max_memory_allocated(self.torch_device)

    def reset_peak_memory(self) -> None:
        torch.cuda.reset_peak_memory_stats(self.torch_device)

    def peak_flops(self, dtype: torch.dtype) -> float | None:
        peaks = PEAKS.get(self.name)
        if peaks is None:
            return None
        if dtype == torch.float32:
            return peaks.tf32 if self.tf32 else peaks.fp32
        return peaks.bf16 if dtype == torch.bfloat16 else None

    def close(self) -> None:
        """Nothing is held beyond the process."""


def _refuse_several_processes() -> None:
    given = {name: os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    if all(given.values()) and given["WORLD_SIZE"] != "1":
        raise PluginError(
            f"device 'cuda' does not serve several processes yet; WORLD_SIZE is {given['WORLD_SIZE']}.",
            todo="Start one process without torchrun, or unset RANK, LOCAL_RANK and WORLD_SIZE.",
        )


def _prepare_environment() -> None:
    """What torch reads from the environment when it first needs it; a user's own values stay."""
    if not {"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"} & os.environ.keys():
        os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(base_folder() / "inductor"))


def _require_gpu(index: int) -> None:
    if torch.version.cuda is None:
        raise PluginError(
            f"device 'cuda': torch {torch.__version__} is built without CUDA.",
            todo="Install a CUDA build of torch (https://pytorch.org/get-started), or use --device cpu.",
        )
    if not torch.cuda.is_available():
        raise PluginError(
            f"device 'cuda': torch {torch.__version__} finds no GPU.",
            todo="Check that nvidia-smi lists one and CUDA_VISIBLE_DEVICES does not hide it, or use --device cpu.",
        )
    count = torch.cuda.device_count()
    if not 0 <= index < count:
        raise PluginError(f"device 'cuda': index is {index}, and this machine has {count} GPU(s), numbered from 0.")
