"""What the CUDA device promises beyond the laws. Tests that need a GPU are skipped without one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from nanoplug_device_cuda import device as module
from nanoplug_device_cuda import gb10
from nanoplug_device_cuda.device import CudaDevice
from nanoplug_device_cuda.peaks import PEAKS

from nanoplug.errors import ContractError, PluginError

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    for name in (*ALLOCATOR, "TORCHINDUCTOR_CACHE_DIR", "TRITON_PTXAS_PATH", "TRITON_PTXAS_BLACKWELL_PATH"):
        # Set first, so that whatever the device sets is undone after the test.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("NANOPLUG_BASE_DIR", str(tmp_path))
    return monkeypatch


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(PluginError, match="several processes"):
        CudaDevice()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_no_gpu_is_a_clear_error(clean_environment: pytest.MonkeyPatch) -> None:
    with pytest.raises(PluginError, match=r"without CUDA|no GPU") as caught:
        CudaDevice()
    assert "--device cpu" in caught.value.todo


def test_environment_is_prepared(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module._prepare_environment()
    assert os.environ["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "inductor")


@pytest.mark.parametrize("name", ALLOCATOR)
def test_user_values_stay(clean_environment: pytest.MonkeyPatch, name: str) -> None:
    clean_environment.setenv(name, "backend:cudaMallocAsync")
    clean_environment.setenv("TORCHINDUCTOR_CACHE_DIR", "/mine")
    module._prepare_environment()
    assert {key: os.environ[key] for key in ALLOCATOR if key in os.environ} == {name: "backend:cudaMallocAsync"}
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/mine"


def fake_ptxas(folder: Path, release: str) -> Path:
    path = folder / "ptxas"
    path.write_text(f"#!/bin/sh\necho 'Cuda compilation tools, release {release}, V{release}.1'\n")
    path.chmod(0o755)
    return path


def test_gb10_takes_a_new_ptxas_from_path(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = fake_ptxas(tmp_path, "13.0")
    clean_environment.setattr(gb10, "_CUDA_PTXAS", tmp_path / "missing")
    clean_environment.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    gb10.prepare()
    assert os.environ["TRITON_PTXAS_PATH"] == os.environ["TRITON_PTXAS_BLACKWELL_PATH"] == str(path)


def test_gb10_refuses_an_old_ptxas(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean_environment.setattr(gb10, "_CUDA_PTXAS", fake_ptxas(tmp_path, "12.8"))
    with pytest.raises(PluginError, match=r"13\.0"):
        gb10.prepare()


def test_gb10_leaves_a_chosen_ptxas(clean_environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean_environment.setenv("TRITON_PTXAS_PATH", "/mine")
    gb10.prepare()
    assert os.environ["TRITON_PTXAS_PATH"] == "/mine"
    assert "TRITON_PTXAS_BLACKWELL_PATH" not in os.environ


def test_peaks_are_dense_and_ordered() -> None:
    assert PEAKS["NVIDIA H200"].bf16 == PEAKS["NVIDIA H100 80GB HBM3"].bf16 == 989e12
    for peaks in PEAKS.values():
        assert peaks.bf16 >= (peaks.tf32 or 0) >= (peaks.fp32 or 0) > 0


@needs_gpu
def test_settings_and_names() -> None:
    device = CudaDevice()
    assert device.name == torch.cuda.get_device_name(0)
    assert torch.get_float32_matmul_precision() == "high"
    assert torch.backends.cudnn.benchmark
    known = PEAKS.get(device.name)
    assert device.peak_flops(torch.bfloat16) == (known.bf16 if known else None)
    assert device.peak_flops(torch.float32) == (known.tf32 if known else None)
    CudaDevice(tf32=False)
    assert torch.get_float32_matmul_precision() == "highest"


@needs_gpu
def test_missing_index_is_a_clear_error() -> None:
    with pytest.raises(PluginError, match="numbered from 0"):
        CudaDevice(index=99)


@needs_gpu
def test_random_states_of_another_device_are_refused() -> None:
    with pytest.raises(ContractError, match="random states"):
        CudaDevice().set_rng_state({"cpu": torch.get_rng_state()})


@needs_gpu
def test_put_keeps_values_under_load_when_the_source_is_reused() -> None:
    device = CudaDevice()
    source = torch.empty(1 << 22, dtype=torch.int64)
    busy = torch.randn(4096, 4096, device=device.torch_device)
    got = []
    for value in range(8):
        for _ in range(10):
            busy = torch.tanh(busy @ busy)
        source.fill_(value)
        got.append(device.put(source))
    source.fill_(-1)
    device.synchronize()
    for value, tensor in enumerate(got):
        assert (tensor == value).all()


@needs_gpu
def test_segments_are_expandable() -> None:
    CudaDevice().put(torch.zeros(1 << 20))
    if os.environ.get("PYTORCH_ALLOC_CONF") != "expandable_segments:True":
        pytest.skip("this machine's own allocator settings are kept")
    assert all(segment["is_expandable"] for segment in torch.cuda.memory_snapshot())
