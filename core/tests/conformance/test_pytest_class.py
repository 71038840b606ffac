"""A third party inherits one class and gets every law as a test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import nanoplug.conformance
from nanoplug.conformance import AttentionLaws, DeviceLaws, KernelLaws, TokenizerLaws

TEST = """
from nanoplug.conformance import AttentionLaws
class TestAcme(AttentionLaws):
    backend = "acme"
"""


def _pytest(folder: Path, path: Path, only: str) -> str:
    (folder / "test_acme.py").write_text(TEST)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-rsf",
        "test_acme.py",
        "-c",
        "/dev/null",
        "-k",
        only,
    ]
    environment = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    return done.stdout


def test_a_right_backend_passes_and_skips_what_it_does_not_declare(plugin_folder: object, tmp_path: Path) -> None:
    right = "from nanoplug.conformance.attention_wrong import Right as Backend\n"
    plugin_folder.add_backend("acme", "gqa=True", backend=right)  # type: ignore[attr-defined]
    output = _pytest(tmp_path, plugin_folder.path, "causal or segments")  # type: ignore[attr-defined]
    assert "no case for what is declared" in output
    assert "= 4 passed, 2 skipped, " in output


def test_a_wrong_backend_fails_readably(plugin_folder: object, tmp_path: Path) -> None:
    wrong = "from nanoplug.conformance.attention_wrong import HeadsInterleaved as Backend\n"
    plugin_folder.add_backend("acme", "gqa=True", backend=wrong)  # type: ignore[attr-defined]
    output = _pytest(tmp_path, plugin_folder.path, "grouped_heads and not cached")  # type: ignore[attr-defined]
    assert "= 1 failed, 1 passed, " in output
    assert "FAILED test_acme.py::TestAcme::test_law[grouped_heads]" in output
    assert "grouped_heads: Query head h reads key/value head h // (H / G)." in output
    assert "fp32 B2 T17 H4 G2 D32: output is off by" in output


def test_a_backend_that_cannot_run_here_is_skipped_and_a_broken_one_fails(
    plugin_folder: object, tmp_path: Path
) -> None:
    plugin_folder.add_backend("acme", "needs=Needs(platforms=['beos'])")  # type: ignore[attr-defined]
    output = _pytest(tmp_path, plugin_folder.path, "grouped_heads and not cached")  # type: ignore[attr-defined]
    assert "attention 'acme' cannot run here: " in output
    assert "= 2 skipped, " in output
    plugin_folder.add_backend("acme", 'load="acme.backend:Missing"')  # type: ignore[attr-defined]
    output = _pytest(tmp_path, plugin_folder.path, "grouped_heads and not cached")  # type: ignore[attr-defined]
    assert "= 2 failed, " in output
    assert "Missing" in output


def test_one_class_for_each_kind() -> None:
    classes = (AttentionLaws, KernelLaws, TokenizerLaws, DeviceLaws)
    assert [one.kind for one in classes] == ["attention", "kernel", "tokenizer", "device"]
    assert set(dir(nanoplug.conformance)) >= {one.__name__ for one in classes}
