"""Dense arithmetic rates by NVIDIA's datasheets, keyed by the exact name that CUDA reports.

A GPU that is not here has no known rate and no MFU is shown for it. The GB10 is left out on purpose: the 62e12
stated for it is below what a plain matrix product reaches there.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class Peaks:
    """FLOP/s, dense, products accumulated in fp32. None where not known."""

    bf16: float
    tf32: float | None = None
    fp32: float | None = None


# "NVIDIA H100 Tensor Core GPU Datasheet" and "NVIDIA H200 Tensor Core GPU Datasheet": the tables give rates
# with sparsity (1,979 and 989 for SXM; 1,671 and 835 for NVL), halved here. fp32 is plain.
_HOPPER_SXM = Peaks(bf16=989e12, tf32=494.5e12, fp32=67e12)
_HOPPER_NVL = Peaks(bf16=835.5e12, tf32=417.5e12, fp32=60e12)
# "NVIDIA A100 Tensor Core GPU Datasheet": 312 / 156 / 19.5 without sparsity, the same for all four.
_A100 = Peaks(bf16=312e12, tf32=156e12, fp32=19.5e12)

PEAKS: Mapping[str, Peaks] = {
    "NVIDIA H200": _HOPPER_SXM,
    "NVIDIA H200 NVL": _HOPPER_NVL,
    "NVIDIA H100 80GB HBM3": _HOPPER_SXM,
    "NVIDIA H100 NVL": _HOPPER_NVL,
    # "NVIDIA H100 Tensor Core GPU Architecture" whitepaper, PCIe column.
    "NVIDIA H100 PCIe": Peaks(bf16=756e12, tf32=378e12, fp32=51.2e12),
    "NVIDIA A100-SXM4-40GB": _A100,
    "NVIDIA A100-SXM4-80GB": _A100,
    "NVIDIA A100-PCIE-40GB": _A100,
    "NVIDIA A100 80GB PCIe": _A100,
    # "NVIDIA L40S" and "NVIDIA L4" datasheets, without sparsity.
    "NVIDIA L40S": Peaks(bf16=362.05e12, tf32=183e12, fp32=91.6e12),
    "NVIDIA L4": Peaks(bf16=121e12, tf32=60e12, fp32=30.3e12),
    # "NVIDIA Ada GPU Architecture" whitepaper, appendix A, BF16 with FP32 accumulate, without sparsity.
    "NVIDIA GeForce RTX 4090": Peaks(bf16=165.2e12, tf32=82.6e12, fp32=82.6e12),
    # "NVIDIA Ampere GA102 GPU Architecture" whitepaper, appendix A, likewise.
    "NVIDIA GeForce RTX 3090": Peaks(bf16=71e12, tf32=35.6e12, fp32=35.6e12),
}
