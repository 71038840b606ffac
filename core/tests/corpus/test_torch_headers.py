from __future__ import annotations

import importlib.machinery
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from nanoplug.corpus.torch_headers import torch_headers
from nanoplug.errors import DataError


def test_hand_written_headers_are_found() -> None:
    scan = torch_headers()
    files = {file.name for file in scan.files}
    assert {"c10/core/TensorImpl.h", "core/Tensor.h", "csrc/autograd/function.h"} <= files
    assert not any("generated/" in name for name in files)
    assert len(files) > 1000
    assert 5e6 < sum(file.bytes for file in scan.files) < 50e6
    assert scan.skipped["generated"] > 5


def test_torch_is_not_imported() -> None:
    code = (
        "import sys; from nanoplug.corpus.torch_headers import torch_headers; torch_headers();"
        " print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_without_torch_or_its_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = importlib.machinery.ModuleSpec("torch", None, is_package=True)
    bare.submodule_search_locations = [str(tmp_path)]
    for spec, message in ((None, "torch is not installed"), (bare, str(tmp_path / "include"))):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, spec=spec: spec)
        with pytest.raises(DataError, match="headers of torch are not here") as caught:
            torch_headers()
        assert message in str(caught.value)
