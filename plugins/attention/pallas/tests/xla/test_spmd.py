"""Four devices under SPMD, one process: the kernels in Pallas's interpreter, on shards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

os.environ.update(PJRT_DEVICE="CPU", CPU_NUM_DEVICES="4", JAX_PLATFORMS="cpu", TPU_SKIP_MDS_QUERY="1")
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=4"

import pytest
import torch
import torch_xla
import torch_xla.distributed.spmd as spmd
import torch_xla.runtime as runtime
from nanoplug_attention_pallas.attention import PallasAttention
from nanoplug_attention_pallas.through_xla import ThroughXla, alone

from nanoplug.conformance.attention_oracle import attend_exactly
from nanoplug.contracts import Mask
from nanoplug.errors import ContractError, PluginError

MESHES = {"data": ((4,), ("data",)), "data x model": ((2, 2), ("data", "model"))}
PLACEMENT = {"data": "{devices=[4,1,1,1]", "data x model": "{devices=[2,1,2,1]"}


def use_mesh(shape: tuple[int, ...], axes: tuple[str, ...]) -> spmd.Mesh:
    mesh = spmd.Mesh(list(range(4)), shape, axes)
    spmd.set_global_mesh(mesh)
    return mesh


@pytest.fixture(autouse=True)
def _no_mesh_left() -> Iterator[None]:
    yield
    spmd.set_global_mesh(None)


def test_without_spmd_splash_takes_one_device_only() -> None:
    """First here: SPMD cannot be switched off again."""
    assert runtime.global_runtime_device_count() == 4
    with pytest.raises(PluginError, match="4 devices without SPMD"):
        alone()


@pytest.mark.parametrize("name", MESHES)
@pytest.mark.parametrize("heads, groups, window, segments", [(4, 4, -1, 0), (4, 2, -1, 0), (4, 2, 5, 0), (4, 4, -1, 3)])
@pytest.mark.usefixtures("interpreted_flash")
def test_shards_give_what_the_whole_gives(
    name: str, heads: int, groups: int, window: int, segments: int, interpreter: Callable[[], Any]
) -> None:
    runtime.use_spmd()
    mesh = use_mesh(*MESHES[name])
    generator = torch.Generator().manual_seed(1)
    shapes = [(4, 33, heads, 32), (4, 33, groups, 32), (4, 33, groups, 32), (4, 33, heads, 32)]
    *inputs, upstream = (torch.randn(shape, generator=generator) for shape in shapes)
    segments_BT = torch.arange(33).expand(4, -1) * segments // 33 if segments else None
    exact_leaves = [x.double().requires_grad_() for x in inputs]
    q, k, v = exact_leaves
    exact = attend_exactly(q, k, v, Mask(window=window, segments_BT=segments_BT))
    exact_gradients = torch.autograd.grad(exact, exact_leaves, upstream.double())
    with interpreter():
        leaves = [x.to("xla") for x in inputs]
        for leaf in leaves:
            spmd.mark_sharding(leaf, mesh, ("data", None, None, None))
            leaf.requires_grad_()
        there = None if segments_BT is None else segments_BT.to("xla")
        q, k, v = leaves
        output = PallasAttention().attend(q, k, v, mask=Mask(window=window, segments_BT=there))
        gradients = torch.autograd.grad(output, leaves, upstream.to("xla"))
        torch_xla.sync()
        placement = torch_xla._XLAC._get_xla_sharding_spec(output)
    assert placement.startswith(PLACEMENT[name])
    assert float((output.detach().cpu() - exact.detach()).abs().max()) < 2e-5
    for got, want in zip(gradients, exact_gradients, strict=True):
        assert float((got.cpu() - want).abs().max()) < 1e-4


def test_sizes_that_the_mesh_does_not_divide_are_refused() -> None:
    runtime.use_spmd()
    use_mesh(*MESHES["data x model"])
    for sizes, word in (((3, 4, 4), "batch 3"), ((4, 3, 1), "heads 3"), ((4, 4, 1), "key heads 1")):
        with pytest.raises(ContractError, match=f"{word} does not divide into the 2 devices"):
            ThroughXla().check(*sizes)


def test_a_mesh_is_needed_and_its_axes_are_data_and_model() -> None:
    runtime.use_spmd()
    with pytest.raises(PluginError, match="no global mesh"):
        ThroughXla().check(4, 4, 4)
    use_mesh((4,), ("fsdp",))
    with pytest.raises(PluginError, match=r"axes \('fsdp',\)"):
        ThroughXla().check(4, 4, 4)
