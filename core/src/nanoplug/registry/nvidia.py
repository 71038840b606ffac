"""NVIDIA GPUs through the driver's management library, without torch and without a CUDA context."""

from __future__ import annotations

import ctypes
import os

from attrs import frozen

_LIBRARY = "libnvidia-ml.so.1"


@frozen
class Gpu:
    """compute_capability: such as `"8.9"`, empty if it is not known."""

    name: str
    compute_capability: str


def visible_gpus() -> tuple[tuple[Gpu, ...], str]:
    """The GPUs that `CUDA_VISIBLE_DEVICES` leaves, and why there are none (empty if there are)."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return (), "there is no NVIDIA driver here"
    code = library.nvmlInit_v2()
    if code:
        return (), f"the NVIDIA driver does not answer (nvmlInit gives {code})"
    try:
        gpus = _read(library)
    finally:
        library.nvmlShutdown()
    if not gpus:
        return (), "the NVIDIA driver sees no GPU"
    chosen = _visible(gpus)
    return chosen, "" if chosen else "CUDA_VISIBLE_DEVICES hides every GPU"


def _read(library: ctypes.CDLL) -> list[tuple[str, Gpu]]:
    """(UUID, GPU) of each, in the driver's order."""
    count = ctypes.c_uint()
    if library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return []
    gpus = []
    for index in range(count.value):
        handle = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)):
            continue
        name, uuid = ctypes.create_string_buffer(96), ctypes.create_string_buffer(96)
        major, minor = ctypes.c_int(), ctypes.c_int()
        library.nvmlDeviceGetName(handle, name, 96)
        library.nvmlDeviceGetUUID(handle, uuid, 96)
        unknown = library.nvmlDeviceGetCudaComputeCapability(handle, ctypes.byref(major), ctypes.byref(minor))
        capability = "" if unknown else f"{major.value}.{minor.value}"
        gpus.append((uuid.value.decode(), Gpu(name.value.decode(errors="replace"), capability)))
    return gpus


def _visible(gpus: list[tuple[str, Gpu]]) -> tuple[Gpu, ...]:
    """CUDA reads the list up to its first entry that names no GPU; MIG slices are of a GPU not named there."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return tuple(gpu for _, gpu in gpus)
    chosen: list[Gpu] = []
    for entry in (piece.strip() for piece in listed.split(",")):
        if entry.startswith("MIG"):
            return tuple(gpu for _, gpu in gpus)
        if entry.isdigit() and int(entry) < len(gpus):
            chosen.append(gpus[int(entry)][1])
            continue
        match = [gpu for uuid, gpu in gpus if entry.startswith("GPU-") and uuid.startswith(entry)]
        if len(match) != 1:
            break
        chosen.append(match[0])
    return tuple(chosen)
