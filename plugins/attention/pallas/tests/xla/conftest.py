"""These tests need torch_xla 2.9: `make test-xla` runs each file in a process of its own."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

if importlib.util.find_spec("torch_xla") is None:
    collect_ignore_glob = ["test_*.py"]

Launch = Callable[[Callable[..., Any], Sequence[Any], Sequence[Sequence[int]]], list[Any]]


@contextmanager
def in_interpreter() -> Iterator[None]:
    """Every Pallas kernel that is traced within runs in Pallas's interpreter.

    That is decided thread by thread, so backward has to stay in this one.
    """
    import torch
    from jax.experimental.pallas import tpu

    with tpu.force_tpu_interpret_mode(True), torch.autograd.set_multithreading_enabled(False):
        yield


@pytest.fixture
def interpreter() -> Callable[[], Any]:
    return in_interpreter


@pytest.fixture
def flash_launches(monkeypatch: pytest.MonkeyPatch) -> Callable[[Launch], None]:
    """Gives the kernels of torch_xla's flash attention to a function of ours instead of the TPU's compiler.

    All else of torch_xla's flash attention runs as on a TPU: the split over the mesh, the blocks, what is kept for
    backward. The function gets a JAX function, the tensors that it takes, and the shapes of the results to return.
    """
    import torch
    import torch_xla
    from torch_xla.experimental import custom_kernel

    def install(launch: Launch) -> None:
        def trace(
            kernel: Callable[..., Any],
            *arguments: Any,
            static_argnums: Any = None,
            static_argnames: Any = None,
            use_cache: bool = False,
            **rest: Any,
        ) -> tuple[Any, list[torch.Tensor]]:
            places = [place for place, one in enumerate(arguments) if isinstance(one, torch.Tensor)]

            def call(*arrays: Any) -> tuple[Any, ...]:
                given = dict(zip(places, arrays, strict=True))
                results = kernel(*(given.get(place, one) for place, one in enumerate(arguments)), **rest)
                listed = results if isinstance(results, (tuple, list)) else [results]
                return tuple(one for one in listed if one is not None)

            tensors = [arguments[place] for place in places]
            return (call, tensors), tensors

        def run(tensors: Any, payload: Any, shapes: Sequence[Sequence[int]], dtypes: Any) -> list[torch.Tensor]:
            return launch(*payload, shapes)

        monkeypatch.setattr(custom_kernel, "trace_pallas", trace)
        monkeypatch.setattr(torch_xla._XLAC, "_xla_tpu_custom_call", run)

    return install


@pytest.fixture
def interpreted_flash(flash_launches: Callable[[Launch], None]) -> None:
    """torch_xla's flash attention with its kernels in the interpreter; to be called within `interpreter`."""
    from torch_xla.core.xla_builder import call_jax

    alive = []  # torch_xla knows a function again by its address

    def launch(function: Callable[..., Any], tensors: Sequence[Any], shapes: Sequence[Sequence[int]]) -> list[Any]:
        alive.append(function)
        results = call_jax(function, tuple(tensors))
        # The kernel's sums and maxima lie 128 times beside each other, of which JAX gives one and torch_xla takes one.
        return [
            one if one.ndim == len(shape) else one[..., None].expand(*shape)
            for one, shape in zip(results, shapes, strict=True)
        ]

    flash_launches(launch)
