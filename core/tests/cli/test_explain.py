from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from nanoplug.cli import explain as module

Run = Callable[..., Any]
ON = "sm_89,torch=2.11,dtype=bf16,head_dim=128,window=1024"


@pytest.fixture
def run(plugin_folder: Any, monkeypatch: pytest.MonkeyPatch, run_here: Run) -> Run:
    found = module.discover
    monkeypatch.setattr(module, "discover", lambda: found([str(plugin_folder.path)]))
    bf16 = "dtypes={'bf16'}, window=True, head_dims=range(16, 257, 16)"
    needs = "Needs(distributions=['torch>=2.9', 'runtime-that-is-not-here>=4'], devices='cuda', compute_capability={})"
    plugin_folder.add_backend("flex", f"rank=50, {bf16}, needs={needs.format(repr('>=8.0'))}")
    plugin_folder.add_backend("fa3", f"rank=90, {bf16}, needs={needs.format(('==9.0', '==12.1'))}")
    plugin_folder.add_backend("plain", "rank=10, dtypes={'fp32', 'bf16'}", backend="raise RuntimeError('loaded')")
    plugin_folder.add_backend("newer", f"rank=5, {bf16}, needs=Needs(distributions='torch>=2.12')")
    plugin_folder.add_backend("last", f"rank=1, {bf16}")
    return lambda *arguments: run_here("explain", *arguments)


def test_a_described_machine_is_judged_from_manifests_alone(run: Run) -> None:
    result = run("attention", "--on", ON, "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert document["chosen"] == "flex"
    candidates = {one["name"]: one for one in document["candidates"]}
    assert [one["name"] for one in document["candidates"]] == ["fa3", "flex", "plain", "newer", "last"]
    assert {name: one["ok"] for name, one in candidates.items()} == {
        "fa3": False, "flex": True, "plain": False, "newer": False, "last": True
    }  # fmt: skip
    assert "needs compute capability 9.0 or 12.1, got 8.9" in candidates["fa3"]["reasons"][0]
    assert "window" in candidates["plain"]["reasons"][0]
    assert "torch>=2.12" in candidates["newer"]["reasons"][0]
    assert result.stderr == ""


def test_in_words(run: Run) -> None:
    lines = run("attention", "--on", ON).stdout.splitlines()
    words = {line.split()[0]: line.split()[1] for line in lines[:5]}
    assert words == {"fa3": "rejected", "flex": "chosen", "plain": "rejected", "newer": "rejected", "last": "passed"}
    assert any("python" in line for line in lines[5:])


def test_of_this_machine(run: Run) -> None:
    document = json.loads(run("attention", "--json").stdout)
    candidates = {one["name"]: one["ok"] for one in document["candidates"]}
    assert candidates["last"] is True
    assert candidates["flex"] is False
    assert document["assumed"] == []


def test_with_a_choice(run: Run) -> None:
    assert json.loads(run("attention", "--on", ON, "--json", "--choice", "last").stdout)["chosen"] == "last"
    assert json.loads(run("attention", "--on", ON, "--json", "--choice", "fa3").stdout)["chosen"] is None
    assert json.loads(run("attention", "--on", ON, "--json", "--choice", "forbid=flex").stdout)["chosen"] == "last"


def test_nothing_serves(run: Run) -> None:
    result = run("attention", "--on", "cpu,dtype=fp16")
    assert result.exit_code == 0
    assert "no installed attention would serve this" in result.stdout


@pytest.mark.parametrize("arguments", [("atention",), ("attention", "--on", "dtype=b"), ("attention", "--on", "tpu")])
def test_what_is_misspelt_is_refused(run: Run, arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output


def test_torch_need_not_be_here() -> None:
    """With neither torch nor anything heavy importable, a described machine is still judged."""
    code = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "numpy", "triton", "jax", "pyarrow"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Nothing())
from nanoplug.cli.main import main
main(["explain", "device", "--on", "sm_89,torch=2.11,dtype=bf16", "--json"])
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert "chosen" in json.loads(finished.stdout)
