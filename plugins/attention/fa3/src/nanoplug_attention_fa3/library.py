"""The FlashAttention-3 library: where it is found, and that it is one we can call.

Two builds define the same operators, `torch.ops.flash_attn_3.fwd` and `.bwd`: the project's own, whose module is
`flash_attn_interface`, and the one inside the xformers wheels, built against CUDA 12's runtime.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from attrs import frozen

from nanoplug.errors import PluginError

OWN_MODULE = "flash_attn_interface"
INSTALL = (
    "Build FlashAttention-3 (folder `hopper` of github.com/Dao-AILab/flash-attention), or "
    "pip install --no-deps xformers==0.0.34 nvidia-cuda-runtime-cu12."
)
# What the operators are called with.
ARGUMENTS = {
    "fwd": "k_new v_new cu_seqlens_q cu_seqlens_k seqused_k max_seqlen_q max_seqlen_k is_causal window_size_left "
    "window_size_right num_splits",
    "bwd": "softmax_lse dq dk dv cu_seqlens_q cu_seqlens_k max_seqlen_q max_seqlen_k is_causal window_size_left "
    "window_size_right deterministic",
}


@frozen
class Library:
    """source: for messages, such as `xformers 0.0.34`. capabilities: compute capabilities that it is built for."""

    source: str
    capabilities: tuple[tuple[int, int], ...]


def load_library() -> Library:
    """Load FlashAttention-3 into this process, the project's own build first.

    Raises PluginError if there is none, or if its operators are not the ones that this plugin calls.
    """
    library = _load_own() if find_spec(OWN_MODULE) else _load_from_xformers()
    _check_operators(library)
    return library


def _load_own() -> Library:
    try:
        importlib.import_module(OWN_MODULE)
    except (ImportError, OSError) as error:
        raise PluginError(f"fa3: importing {OWN_MODULE} failed: {error}", todo=INSTALL) from error
    return Library(_named("flash_attn_3", "flash-attn-3", OWN_MODULE), ((9, 0), (12, 1)))


def _load_from_xformers() -> Library:
    spec = find_spec("xformers")
    folders = (spec.submodule_search_locations if spec else None) or ()
    files = [file for folder in folders for file in sorted(Path(folder).glob("flash_attn_3/_C*.so"))]
    if not files:
        raise PluginError("fa3: the installed xformers holds no FlashAttention-3 library.", todo=INSTALL)
    library = Library(_named("xformers"), ((9, 0),))
    if hasattr(torch.ops.flash_attn_3, "fwd"):  # xformers itself was imported and has loaded it
        return library
    # Of the packages called `nvidia` Python sees one alone, where any of them is more than a folder.
    runtimes = [Path(entry, "nvidia/cuda_runtime/lib/libcudart.so.12") for entry in sys.path]
    runtime = next((str(file) for file in runtimes if file.is_file()), "libcudart.so.12")
    try:
        # Its symbols must be global before the library is opened: a torch for CUDA 13 brings another runtime.
        ctypes.CDLL(runtime, ctypes.RTLD_GLOBAL)
        torch.ops.load_library(str(files[0]))
    except OSError as error:
        raise PluginError(f"fa3: the FlashAttention-3 library of {library.source}: {error}", todo=INSTALL) from error
    return library


def _check_operators(library: Library) -> None:
    for name, arguments in ARGUMENTS.items():
        operator = getattr(torch.ops.flash_attn_3, name, None)
        if operator is None:
            raise PluginError(f"fa3: {library.source} defines no operator flash_attn_3::{name}.", todo=INSTALL)
        has = {argument.name for argument in operator.default._schema.arguments}
        lacks = [argument for argument in arguments.split() if argument not in has]
        if lacks:
            raise PluginError(
                f"fa3: flash_attn_3::{name} of {library.source} has no argument {', '.join(lacks)}.", todo=INSTALL
            )


def _named(*distributions: str) -> str:
    """The first of the distributions that is installed with its version, or its last name alone."""
    for name in distributions:
        try:
            return f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    return distributions[-1]
