"""What this distribution offers. Light: nothing heavy is imported here."""

from __future__ import annotations

from attrs import frozen

from nanoplug.spec import DeviceSpec, Needs, hookimpl


@frozen(kw_only=True)
class CpuOptions:
    """threads: threads of one operation; 0 leaves torch's own choice."""

    threads: int = 0


@hookimpl
def nanoplug_device() -> list[DeviceSpec]:
    return [
        DeviceSpec(
            name="cpu",
            summary="The processor: fp32 or bf16, one process.",
            load="nanoplug_device_cpu.device:CpuDevice",
            needs=Needs(distributions="torch>=2.9,<2.14"),
            options=CpuOptions,
            device_type="cpu",
            dtypes={"fp32", "bf16"},
            compile=True,
            rank=10,
        )
    ]
