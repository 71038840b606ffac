"""What the GB10 (compute capability 12.1) needs before Triton compiles for it.

Inductor's autotuning of matrix products stays off there: it asks for 68 multiprocessors, the GB10 has 48, and
only patching torch would change its mind. Its default choice, cuBLAS, is used.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from nanoplug.errors import PluginError

NAME = "NVIDIA GB10"
_CUDA_PTXAS = Path("/usr/local/cuda/bin/ptxas")


def prepare() -> None:
    """Point Triton at a ptxas that knows sm_121a (CUDA 13.0 or newer) unless the user chose one.

    The ptxas 12.8 that comes with Triton does not. Triton 3.6 and newer read the second variable for this GPU.
    """
    if "TRITON_PTXAS_PATH" in os.environ:
        return
    on_path = shutil.which("ptxas")
    found = _CUDA_PTXAS if _CUDA_PTXAS.is_file() else Path(on_path) if on_path else None
    if found is None or _release(found) < (13, 0):
        raise PluginError(
            f"device 'cuda': the GB10 needs ptxas of CUDA 13.0 or newer; found {found or 'none'}.",
            todo="Install the CUDA 13 toolkit, or set TRITON_PTXAS_PATH to its ptxas.",
        )
    os.environ["TRITON_PTXAS_PATH"] = str(found)
    os.environ.setdefault("TRITON_PTXAS_BLACKWELL_PATH", str(found))


def _release(ptxas: Path) -> tuple[int, int]:
    text = subprocess.run([ptxas, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"release (\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
