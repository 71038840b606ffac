from __future__ import annotations

from nanoplug.registry.piece import capabilities
from nanoplug.spec import AttentionSpec, DeviceSpec


class Even:
    def __contains__(self, value: object) -> bool:
        return isinstance(value, int) and value % 2 == 0


def _head_dims(value: object) -> object:
    return capabilities(AttentionSpec(name="a", summary="", load="m:o", head_dims=value))["head_dims"]  # type: ignore[arg-type]


def test_capabilities_are_plain_values_without_what_every_spec_has() -> None:
    spec = DeviceSpec(name="d", summary="", load="m:o", device_type="cpu", dtypes={"fp32", "bf16"}, rank=7)
    assert capabilities(spec) == {
        "device_type": "cpu", "dtypes": ["bf16", "fp32"], "compile": False, "processes": False
    }  # fmt: skip


def test_containers_of_head_sizes() -> None:
    assert _head_dims(None) is None
    assert _head_dims(range(16, 257, 16)) == "16..256 step 16"
    assert _head_dims({128, 64}) == [64, 128]
    assert _head_dims(Even()) == "Even"


def test_launches_stay_apart_by_device() -> None:
    spec = AttentionSpec(name="a", summary="", load="m:o", launches={"cuda": ("b", "a"), "cpu": "c"})
    assert capabilities(spec)["launches"] == {"cpu": ["c"], "cuda": ["a", "b"]}
