"""What the backend would launch on a TPU v5e, compiled by the TPU's compiler, which needs no TPU. Nothing is executed.

The backend is called on XLA tensors as in training; each kernel that torch_xla would launch is compiled instead, and
zeros are returned, which are never computed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

os.environ.update(PJRT_DEVICE="CPU", JAX_PLATFORMS="cpu", TPU_SKIP_MDS_QUERY="1", TPU_WORKER_HOSTNAMES="localhost")

import jax
import numpy as np
import pytest
import torch
import torch_xla.runtime as runtime
from attrs import frozen
from jax.experimental import topologies
from jax.sharding import NamedSharding, PartitionSpec
from nanoplug_attention_pallas.attention import PallasAttention
from nanoplug_attention_pallas.manifest import HEAD_DIMS
from torch import Tensor
from torch_xla.experimental import splash_attention

from nanoplug.contracts import Mask

CHIP_BYTES = 16 * 2**30
JAX_DTYPE = {torch.bfloat16: "bfloat16", torch.float32: "float32", torch.int32: "int32"}


class Compiled(NamedTuple):
    """One program for one chip: bytes that it needs beside its inputs, and whether a Pallas kernel is in it."""

    bytes: int
    has_kernel: bool


@frozen
class Compiler:
    """The TPU's compiler. mesh: of the chips of a topology that no machine here has. programs: compiled so far."""

    mesh: jax.sharding.Mesh
    programs: list[Compiled]

    def compile(self, function: Callable[..., Any], tensors: Sequence[Tensor]) -> None:
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        inputs = [jax.ShapeDtypeStruct(x.shape, JAX_DTYPE[x.dtype], sharding=everywhere) for x in tensors]
        program = jax.jit(function).trace(*inputs).lower(lowering_platforms=("tpu",)).compile()
        memory = program.memory_analysis()
        used = memory.temp_size_in_bytes + memory.output_size_in_bytes
        self.programs.append(Compiled(used, "tpu_custom_call" in program.as_text()))


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch, flash_launches: Callable[[Any], None]) -> Compiler:
    runtime.global_runtime_device_count()  # the client has to be there before the first backward
    topology = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
    one_chip = np.array(topology.devices[:1]).reshape(1, 1)
    compiler = Compiler(jax.sharding.Mesh(one_chip, ("data", "fsdp")), [])

    class OnTopology:
        """Stands for torch_xla's mesh, which knows the chips of this machine alone."""

        @staticmethod
        def from_str(text: str) -> type[OnTopology]:
            assert "'mesh_shape': (1, 1)" in text
            return OnTopology

        @staticmethod
        def get_jax_mesh() -> jax.sharding.Mesh:
            return compiler.mesh

    def flash(function: Callable[..., Any], tensors: Sequence[Tensor], shapes: Sequence[Sequence[int]]) -> list[Tensor]:
        compiler.compile(function, tensors)
        dtypes = [tensors[0].dtype, *[torch.float32 if len(shapes) == 3 else tensors[0].dtype] * (len(shapes) - 1)]
        return [torch.zeros(*shape, dtype=dtype, device="xla") for shape, dtype in zip(shapes, dtypes, strict=True)]

    def splash(function: Callable[..., Any], arguments: Sequence[Any], options: Any, name: str) -> Any:
        places = [place for place, one in enumerate(arguments) if isinstance(one, Tensor)]

        def call(*arrays: Any) -> Any:
            given = dict(zip(places, arrays, strict=True))
            return function(*(given.get(place, one) for place, one in enumerate(arguments)))

        compiler.compile(call, [arguments[place] for place in places])
        gradients = [torch.zeros_like(one) for one in arguments[:3]]
        return gradients if name.endswith("_bw") else gradients[0]

    flash_launches(flash)
    monkeypatch.setattr(splash_attention, "Mesh", OnTopology)
    monkeypatch.setattr(splash_attention, "call_jax", splash)
    return compiler


def train(
    *, tokens: int, heads: int, groups: int, head_dim: int, window: int = -1, segments: bool = False, dtype: torch.dtype
) -> int:
    """Forward and backward on a batch of 1; bytes of q."""
    shapes = [(1, tokens, heads, head_dim), (1, tokens, groups, head_dim), (1, tokens, groups, head_dim)]
    q, k, v = (torch.zeros(shape, dtype=dtype, device="xla", requires_grad=True) for shape in shapes)
    segments_BT = torch.zeros(1, tokens, dtype=torch.int64, device="xla") if segments else None
    PallasAttention().attend(q, k, v, mask=Mask(window=window, segments_BT=segments_BT)).sum().backward()
    return q.numel() * q.element_size()


CALLS = {
    "full": {"groups": 16},
    "window 1024": {"groups": 16, "window": 1024},
    "grouped": {"groups": 4},
    "grouped, window 1024": {"groups": 4, "window": 1024},
    "documents": {"groups": 16, "segments": True},
}


@pytest.mark.parametrize("name", CALLS)
def test_compiles_and_fits(name: str, compiler: Compiler, capsys: pytest.CaptureFixture[str]) -> None:
    """bf16, 16 heads of 128. The memory grows with T, not with its square, and fits into 16 GiB."""
    used = {}
    for tokens in (16384, 32768):
        compiler.programs.clear()
        size = train(tokens=tokens, heads=16, head_dim=128, dtype=torch.bfloat16, **CALLS[name])
        assert len(compiler.programs) >= 2
        assert all(program.has_kernel for program in compiler.programs)
        used[tokens] = max(program.bytes for program in compiler.programs)
        with capsys.disabled():
            parts = ", ".join(f"{program.bytes / 2**20:.0f}" for program in compiler.programs)
            print(f"\npallas {name}, T={tokens}: MiB per program {parts}; q has {size / 2**20:.0f}", end="")
    assert used[32768] < 2.5 * used[16384]
    assert used[32768] < CHIP_BYTES


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("head_dim", HEAD_DIMS)
def test_compiles_every_head_size(head_dim: int, dtype: torch.dtype, compiler: Compiler) -> None:
    for groups in (2, 1):
        train(tokens=600, heads=2, groups=groups, head_dim=head_dim, dtype=dtype)
    assert len(compiler.programs) >= 4
    assert all(program.has_kernel for program in compiler.programs)


@pytest.mark.parametrize("tokens", [1, 128, 192, 256, 384, 512, 768, 1024, 1536, 3072])
def test_compiles_every_length(tokens: int, compiler: Compiler) -> None:
    train(tokens=tokens, heads=2, groups=2, head_dim=64, dtype=torch.bfloat16)
    train(tokens=tokens, heads=2, groups=2, head_dim=64, window=100, dtype=torch.bfloat16)
    assert len(compiler.programs) >= 4
    assert all(program.has_kernel for program in compiler.programs)
