"""The kernels by torch_xla's own wrappers, on XLA tensors: one device, or a mesh under SPMD."""

from __future__ import annotations

import importlib
from functools import cache

import torch_xla.distributed.spmd as spmd
import torch_xla.runtime as runtime
from attrs import frozen
from torch import Tensor
from torch_xla.experimental.custom_kernel import flash_attention
from torch_xla.experimental.splash_attention import SplashAttentionConfig, splash_attention

from nanoplug.errors import ContractError, PluginError
from nanoplug_attention_pallas.lengths import block

# What a mesh may look like: how the batch and the heads are split, by its axes.
LAYOUTS = {("data",): ("data", None), ("data", "model"): ("data", "model")}


class ThroughXla:
    """Serves `attention.Kernels` on XLA devices."""

    device_type = "xla"

    def check(self, batch: int, heads: int, groups: int) -> None:
        """Raise ContractError unless the mesh's axes divide the batch and the heads."""
        split = current_split()
        if split is None:
            return
        sizes = split.mesh.shape()
        for what, size, axis in (("batch", batch, "data"), ("heads", heads, "model"), ("key heads", groups, "model")):
            if size % sizes.get(axis, 1):
                raise ContractError(
                    f"pallas: {what} {size} does not divide into the {sizes[axis]} devices of mesh axis {axis!r}."
                )

    def flash(self, q_BHTD: Tensor, k_BHTD: Tensor, v_BHTD: Tensor, *, scale: float) -> Tensor:
        split = current_split()
        # torch_xla takes the global mesh in forward and this argument in backward, so both are the same; and it leaves
        # the scale at 1 if it is not told.
        output: Tensor = flash_attention(
            q_BHTD,
            k_BHTD,
            v_BHTD,
            True,
            None,
            None,
            scale,
            partition_spec=split and split.spec,
            mesh=split and split.mesh,
        )
        return output

    def splash(
        self, q_BHTD: Tensor, k_BGTD: Tensor, v_BGTD: Tensor, *, window: int, segments_BT: Tensor | None
    ) -> Tensor:
        require_torchax()
        split = current_split() or alone()
        size = block(q_BHTD.shape[2])
        config = SplashAttentionConfig(
            sa_block_q=size,
            sa_block_kv=size,
            sa_block_kv_compute=size,
            sa_block_q_dkv=size,
            sa_block_kv_dkv=size,
            sa_block_kv_dkv_compute=size,
            sa_block_q_dq=size,
            sa_block_kv_dq=size,
            # The fused one holds the gradient of q once for each block of keys.
            sa_use_fused_bwd_kernel=False,
            mesh=str(split.with_fsdp()),
            qkv_partition_spec=split.spec,
            segment_ids_partition_spec=(split.spec[0], None),
            attentiontype_local_sliding=window >= 0,
            slide_window_size=window if window >= 0 else None,
        )
        output: Tensor = splash_attention(q_BHTD, k_BGTD, v_BGTD, config.to_json(), segments_BT)
        return output


@cache
def require_torchax() -> None:
    """Raise PluginError unless torchax can be imported, without which torch_xla says that JAX is missing.

    To be called when the XLA client is there: JAX must not be the first to take the TPU.
    """
    try:
        importlib.import_module("torchax.interop")
    except ImportError as error:
        raise PluginError(
            f"pallas: splash attention needs torchax, and importing it failed: {error}.",
            todo="torch_xla's wheel carries an older one; lay the right one over it: "
            "pip install --force-reinstall --no-deps torchax==0.0.7",
        ) from error


@frozen
class Split:
    """How (B, H, T, D) lies on the devices: `spec` names an axis of `mesh` for each of the four, or None."""

    mesh: spmd.Mesh
    spec: tuple[str | None, str | None, None, None]

    def with_fsdp(self) -> spmd.Mesh:
        """The mesh with an axis `fsdp` of one device, which torch_xla's splash attention asks for."""
        names = (*(self.mesh.axis_names or ()), "fsdp")
        return spmd.Mesh(self.mesh.device_ids, (*self.mesh.mesh_shape, 1), names)


def current_split() -> Split | None:
    """By torch_xla's global mesh, which the device runtime sets. None where SPMD is off.

    Raises PluginError if the mesh is missing, or has axes other than `data` and `model`.
    """
    if not runtime.is_spmd():
        return None
    mesh = spmd.get_global_mesh()
    if mesh is None:
        raise PluginError("pallas: SPMD is on, but torch_xla has no global mesh.", todo="Call spmd.set_global_mesh.")
    axes = tuple(mesh.axis_names or ())
    if axes not in LAYOUTS:
        raise PluginError(f"pallas: the mesh has axes {axes}; they must be ('data',) or ('data', 'model').")
    return Split(mesh, (*LAYOUTS[axes], None, None))


def alone() -> Split:
    """One device, without SPMD. Raises PluginError if there are more, which splash attention could not tell apart."""
    count = runtime.global_runtime_device_count()
    if count != 1:
        raise PluginError(
            f"pallas: splash attention runs on one device or under SPMD; there are {count} devices without SPMD.",
            todo="Let one process drive all devices under SPMD.",
        )
    return Split(spmd.Mesh([0], (1,), ("data",)), ("data", None, None, None))
