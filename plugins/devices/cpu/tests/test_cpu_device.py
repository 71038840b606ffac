"""What the CPU device promises beyond the laws."""

from __future__ import annotations

import pytest
import torch
from nanoplug_device_cpu.device import CpuDevice

from nanoplug.errors import ContractError, PluginError


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(PluginError, match="several processes"):
        CpuDevice()


@pytest.mark.parametrize("present", [{"WORLD_SIZE": "2"}, {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}])
def test_one_process_is_served(monkeypatch: pytest.MonkeyPatch, present: dict[str, str]) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in present.items():
        monkeypatch.setenv(name, value)
    assert (CpuDevice().rank, CpuDevice().world_size) == (0, 1)


def test_threads() -> None:
    before = torch.get_num_threads()
    try:
        CpuDevice(threads=before + 1)
        assert torch.get_num_threads() == before + 1
        CpuDevice()
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    with pytest.raises(PluginError, match="threads"):
        CpuDevice(threads=-1)


def test_auto_is_fp32() -> None:
    assert CpuDevice().compute_dtype("auto") == torch.float32


def test_compile_without_a_compiler_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(PluginError, match="no-such-compiler") as caught:
        CpuDevice().compile(torch.sin)
    assert "apt-get install" in caught.value.todo


def test_random_states_of_another_device_are_refused() -> None:
    device = CpuDevice()
    with pytest.raises(ContractError, match="random states"):
        device.set_rng_state({**device.rng_state(), "cuda": torch.zeros(16, dtype=torch.uint8)})


def test_put_refuses_what_is_elsewhere() -> None:
    with pytest.raises(ContractError, match="CPU tensor"):
        CpuDevice().put(torch.empty(1, device="meta"))
