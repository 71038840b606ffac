"""What this distribution offers. Light: nothing heavy is imported here."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import DeviceSpec, Needs, hookimpl


@frozen(kw_only=True)
class CudaOptions:
    """index: which GPU. tf32: fp32 matrix products round their inputs to TF32 (10 bits of mantissa)."""

    index: int = 0
    tf32: bool = True


@hookimpl
def nanoplug_device() -> list[DeviceSpec]:
    return [
        DeviceSpec(
            name="cuda",
            summary="One NVIDIA GPU: bf16 or fp32, torch.compile, one process.",
            load="nanoplug_device_cuda.device:CudaDevice",
            needs=Needs(distributions="torch>=2.9,<2.14", devices="cuda"),
            options=CudaOptions,
            device_type="cuda",
            dtypes={"fp32", "bf16"},
            compile=True,
            rank=100,
        )
    ]
