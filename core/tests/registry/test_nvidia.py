"""The driver's library is replaced by one that answers from a list."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from nanoplug.registry import nvidia
from nanoplug.registry.nvidia import Gpu

GPUS = [("GPU-aaa", "NVIDIA H200", 9, 0), ("GPU-abb", "NVIDIA RTX 4090", 8, 9), ("GPU-ccc", "NVIDIA L4", 8, 9)]


class Library:
    """What `nvidia` calls of libnvidia-ml; arguments come as ctypes makes them."""

    def __init__(self, gpus: list[tuple[str, str, int, int]], init: int = 0) -> None:
        self.gpus, self.init, self.is_open = gpus, init, False

    def nvmlInit_v2(self) -> int:
        self.is_open = not self.init
        return self.init

    def nvmlShutdown(self) -> None:
        self.is_open = False

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = len(self.gpus)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, index: int, handle: Any) -> int:
        handle._obj.value = index + 1
        return 0

    def nvmlDeviceGetName(self, handle: Any, name: Any, size: int) -> int:
        name.value = self.gpus[handle.value - 1][1].encode()
        return 0

    def nvmlDeviceGetUUID(self, handle: Any, uuid: Any, size: int) -> int:
        uuid.value = self.gpus[handle.value - 1][0].encode()
        return 0

    def nvmlDeviceGetCudaComputeCapability(self, handle: Any, major: Any, minor: Any) -> int:
        _, _, major._obj.value, minor._obj.value = self.gpus[handle.value - 1]
        return 0


def _with(monkeypatch: pytest.MonkeyPatch, library: Library, visible: str | None) -> tuple[tuple[Gpu, ...], str]:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    if visible is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    result = nvidia.visible_gpus()
    assert not library.is_open
    return result


@pytest.mark.parametrize(
    "visible, expected",
    [
        (None, ["H200", "RTX 4090", "L4"]),
        ("1", ["RTX 4090"]),
        ("2,0", ["L4", "H200"]),
        ("0,7,1", ["H200"]),
        ("GPU-ab", ["RTX 4090"]),
        ("GPU-a", []),
        ("", []),
        ("-1", []),
        ("MIG-1234", ["H200", "RTX 4090", "L4"]),
    ],
)
def test_visible_gpus(monkeypatch: pytest.MonkeyPatch, visible: str | None, expected: list[str]) -> None:
    gpus, why = _with(monkeypatch, Library(GPUS), visible)
    assert [gpu.name.removeprefix("NVIDIA ") for gpu in gpus] == expected
    assert bool(why) == (not expected)


def test_compute_capability_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus, _ = _with(monkeypatch, Library(GPUS), None)
    assert [gpu.compute_capability for gpu in gpus] == ["9.0", "8.9", "8.9"]


def test_each_way_of_having_none_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sees no GPU" in _with(monkeypatch, Library([]), None)[1]
    assert "does not answer" in _with(monkeypatch, Library(GPUS, init=9), None)[1]
    assert "hides" in _with(monkeypatch, Library(GPUS), "")[1]

    def no_library(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    assert nvidia.visible_gpus() == ((), "there is no NVIDIA driver here")
