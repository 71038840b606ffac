from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from nanoplug.errors import ConfigError
from nanoplug.registry.machine import Machine, found
from nanoplug.registry.nvidia import Gpu


def test_here_says_what_this_process_is() -> None:
    machine = Machine.here()
    assert machine.python == ".".join(map(str, sys.version_info[:3]))
    assert machine.platform == sys.platform
    assert machine.devices[-1] == "cpu"
    assert set(machine.devices) | set(machine.absent) == {"cpu", "cuda", "mps", "xla"}
    assert machine.distribution("pluggy") == importlib.metadata.version("pluggy")
    assert machine.distribution("no-such-distribution") is None
    assert machine.assumed == ()


def test_here_imports_no_torch() -> None:
    code = (
        "import sys; from nanoplug.registry.machine import Machine; Machine.here(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("text, line, present", [("None", "built without CUDA", False), ("'12.8'", "", True)])
def test_cuda_needs_a_gpu_and_a_cuda_build_of_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, line: str, present: bool
) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "torch" / "version.py").write_text(f"__version__ = '9'\ncuda: Optional[str] = {text}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr("nanoplug.registry.nvidia.visible_gpus", lambda: ((Gpu("H200", "9.0"),), ""))
    machine = Machine.here()
    assert ("cuda" in machine.devices) == present
    assert line in machine.absent.get("cuda", "")


def test_xla_needs_both_the_variable_and_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PJRT_DEVICE", raising=False)
    assert "PJRT_DEVICE" in Machine.here().absent["xla"]
    monkeypatch.setenv("PJRT_DEVICE", "TPU")
    assert "torch_xla" in Machine.here().absent["xla"]


def test_described_gpu_with_versions() -> None:
    machine = Machine.described("sm_89,torch=2.11,python=3.12,platform=linux,triton=3.6,dtype=bf16,window=1024")
    assert machine.gpus == (Gpu("sm_89", "8.9"),)
    assert machine.devices == ("cuda", "cpu")
    assert (machine.python, machine.platform, machine.is_here) == ("3.12", "linux", False)
    assert machine.distribution("torch") == "2.11"
    assert machine.distribution("Triton") == "3.6"
    assert machine.assumed == ()


@pytest.mark.parametrize("word, capability", [("sm_120", "12.0"), ("sm_90a", "9.0"), ("sm_75", "7.5")])
def test_compute_capability_of_a_word(word: str, capability: str) -> None:
    assert Machine.described(word).gpus[0].compute_capability == capability


def test_what_a_description_leaves_open_is_as_here_and_said() -> None:
    machine = Machine.described("sm_90")
    here = Machine.here()
    assert (machine.python, machine.platform) == (here.python, here.platform)
    assert any("python" in line for line in machine.assumed)
    assert any("torch" in line for line in machine.assumed)
    assert machine.distribution("no-such-distribution") == "*"
    assert Machine.described("dtype=bf16").devices == here.devices


@pytest.mark.parametrize("text", ["sm89", "tpu", "dtpye=bf16", "head_dmi=128", "torch=new", "python="])
def test_words_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Machine.described(text)


def test_a_misspelt_key_is_not_taken_for_a_distribution() -> None:
    with pytest.raises(ConfigError, match="'head_dim'"):
        Machine.described("head_dmi=128")
    assert Machine.described("torch_xla=2.9").distribution("torch-xla") == "2.9"


def test_found_looks_at_the_top_level_alone() -> None:
    assert found("json.decoder")
    assert not found("no_such_module_at_all")
