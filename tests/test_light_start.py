"""What only lists, explains or helps imports nothing heavy; the time that it takes is held by benchmarks/startup.py."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "numpy", "triton", "jax", "pyarrow", "torch_xla", "tiktoken", "rustbpe", "safetensors", "matplotlib"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["plugins", "list", "--json", "--no-probe"],
        ["plugins", "doctor", "--no-probe"],
        ["explain", "attention", "--on", "sm_89,torch=2.11,dtype=bf16"],
        ["train", "--help"],
        ["generate", "--help"],
        ["eval", "--help"],
        ["tokenizer", "--help"],
        ["data", "--help"],
        ["verify", "--help"],
        ["bench", "--help"],
        ["quickstart", "--help"],
        ["new-plugin", "--help"],
    ],
    ids=" ".join,
)
def test_import_set(arguments: list[str]) -> None:
    code = f"""
import json, sys
sys.argv = ["nanoplug", *{arguments!r}]
from nanoplug.cli.main import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print("\\n" + json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    imported = set(json.loads(finished.stdout.splitlines()[-1]))
    assert not imported & HEAVY


def test_the_steady_list_starts_no_process() -> None:
    """Once everything has a verdict, listing loads nothing, neither here nor in a child."""
    command = [sys.executable, "-m", "nanoplug", "plugins", "list", "--json"]
    subprocess.run(command, capture_output=True, check=True)
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stderr == ""
    code = "import sys, nanoplug; nanoplug.plugins(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
