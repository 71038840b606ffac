"""Where the library is looked for, and what is said when it is not one that can be used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from nanoplug_attention_fa3 import library

from nanoplug.errors import PluginError


def test_an_own_build_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flash_attn_interface.py").write_text("raise ImportError('no kernels here')")
    (tmp_path / "xformers").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match="importing flash_attn_interface failed: no kernels here"):
        library.load_library()


def test_an_xformers_without_the_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xformers").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(PluginError, match="xformers holds no FlashAttention-3 library"):
        library.load_library()


def test_a_file_that_is_no_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("xformers/flash_attn_3/_C.so", "nvidia/cuda_runtime/lib/libcudart.so.12"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(PluginError, match=r"the FlashAttention-3 library of xformers: .*libcudart\.so\.12"):
        library.load_library()
