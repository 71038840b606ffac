"""By name means require; auto says what it passed over; nothing is silent."""

from __future__ import annotations

from typing import Any

import pytest

from nanoplug.errors import PluginError
from nanoplug.registry.choice import Choice
from nanoplug.registry.discover import discover
from nanoplug.registry.machine import Machine
from nanoplug.registry.piece import Piece
from nanoplug.registry.request import Request
from nanoplug.registry.select import resolve

OPTIONS = "@frozen(kw_only=True)\nclass Options:\n    rows: int = 4096\n"
NAMED = "class Backend:\n" + "".join(
    f"    def {op}(self, *a, **k):\n        return __name__\n"
    for op in ("linear_cross_entropy", "cross_entropy", "rms_norm", "rotary")
)
ALL_OPS = "ops={'linear_cross_entropy', 'cross_entropy', 'rms_norm', 'rotary'}"


def _resolve(
    plugin_folder: Any, choice: str = "auto", *, kind: str = "attention", site: str | None = None, **rest: Any
) -> Piece:
    request = Request(**rest.pop("request", {}))
    catalogue = discover([str(plugin_folder.path)])
    return resolve(
        catalogue, Machine.here(), kind=kind, site=site, choice=Choice.parse(choice), request=request, **rest
    )


def test_a_name_gives_its_backend_and_all_about_it(plugin_folder: Any) -> None:
    plugin_folder.add_backend("wanted", "window=True, options=Options", manifest=OPTIONS)
    plugin_folder.add_backend("other", "rank=99")
    piece = _resolve(plugin_folder, "wanted", site="attention.train", options={"rows": 8})
    assert (piece.site, piece.kind, piece.name, piece.id) == ("attention.train", "attention", "wanted", "wanted:wanted")
    assert (piece.distribution, piece.version, piece.why, piece.rejected) == ("wanted", "1.0", "by name", ())
    assert len(piece.files_sha256) == 64
    assert piece.options == piece.backend.options == {"rows": 8}
    assert piece.capabilities["window"] is True
    assert piece.capabilities["dtypes"] == ["fp32"]


def test_a_name_that_cannot_serve_says_every_reason_and_who_can(plugin_folder: Any) -> None:
    plugin_folder.add_backend("wanted")
    plugin_folder.add_backend("able", "window=True, dtypes={'bf16'}")
    with pytest.raises(PluginError) as caught:
        _resolve(plugin_folder, "wanted", request={"window": 5, "dtype": "bf16"})
    assert len(caught.value.details) == 2
    assert "dtype bf16" in caught.value.details[0]
    assert "window" in caught.value.details[1]
    assert "Ready here for this request: able" in caught.value.todo


def test_an_unknown_name_gives_the_nearest_and_broken_plugins(plugin_folder: Any) -> None:
    plugin_folder.add_backend("wanted")
    plugin_folder.add("ailing", {"manifest": "raise RuntimeError('no licence')"})
    with pytest.raises(PluginError, match="'wanted'") as caught:
        _resolve(plugin_folder, "wantd")
    assert "no licence" in caught.value.details[0]
    with pytest.raises(PluginError, match="its plugin is broken") as caught:
        _resolve(plugin_folder, "ailing")
    assert "no licence" in caught.value.details[0]
    with pytest.raises(PluginError, match="'attention'"):
        _resolve(plugin_folder, kind="atention")


def test_auto_goes_by_rank_and_keeps_each_rejection(plugin_folder: Any) -> None:
    plugin_folder.add_backend("low", "rank=1")
    plugin_folder.add_backend("middle", "rank=5")
    plugin_folder.add_backend("high", "rank=9, api='>=99'")
    plugin_folder.add_backend("higher", "rank=10, needs=Needs(platforms='plan9')")
    plugin_folder.add_backend("highest", "rank=11", backend="import os; os._exit(5)")
    piece = _resolve(plugin_folder)
    assert piece.name == "middle"
    assert [name for name, _ in piece.rejected] == ["highest:highest", "higher:higher", "high:high"]
    for word, (_, reasons) in zip(("exit status 5", "plan9", "API >=99"), piece.rejected, strict=True):
        assert word in reasons[0]
    assert all(word in piece.line() for word in ("middle", "auto", "plan9"))


def test_rank_may_depend_on_the_device(plugin_folder: Any) -> None:
    plugin_folder.add_backend("a", "rank=1, rank_on={'cpu': 9}")
    plugin_folder.add_backend("b", "rank=5, rank_on={'cuda': 1}")
    assert _resolve(plugin_folder, request={"device": "cpu"}).name == "a"


def test_prefer_and_forbid(plugin_folder: Any) -> None:
    for rank, name in enumerate(("a", "b", "c")):
        plugin_folder.add_backend(name, f"rank={rank}, window={name != 'a'}")
    assert _resolve(plugin_folder, "prefer=a").name == "a"
    assert _resolve(plugin_folder, "prefer=a,b", request={"window": 1}).name == "b"
    assert _resolve(plugin_folder, "forbid=c").name == "b"
    assert _resolve(plugin_folder, "prefer=nowhere;forbid=c:c").name == "b"
    assert (":nowhere", ("is not installed",)) in _resolve(plugin_folder, "prefer=nowhere").rejected
    with pytest.raises(PluginError, match="no attention can serve") as caught:
        _resolve(plugin_folder, "forbid=a,b,c")
    assert len(caught.value.details) == 3


def test_nothing_installed_is_said(plugin_folder: Any) -> None:
    with pytest.raises(PluginError, match="no attention plugin is installed"):
        _resolve(plugin_folder)


def test_one_name_twice_is_an_error_until_the_distribution_is_named(plugin_folder: Any) -> None:
    plugin_folder.add_backend("first", "name='same', rank=9")
    plugin_folder.add_backend("second", "name='same'")
    plugin_folder.add_backend("third")
    with pytest.raises(PluginError, match="cannot serve") as caught:
        _resolve(plugin_folder, "same")
    assert "first 1.0 and second 1.0" in str(caught.value)
    assert _resolve(plugin_folder, "second:same").distribution == "second"
    assert _resolve(plugin_folder, "prefer=first:same").distribution == "first"
    piece = _resolve(plugin_folder)
    assert piece.name == "third"
    assert len(piece.rejected) == 2


@pytest.mark.parametrize(
    "backend, says",
    [
        ("import os; os._exit(7)", "quarantined: loading it ended the process with exit status 7"),
        ("import ctypes; ctypes.string_at(0)", "SIGSEGV"),
        ("import time; time.sleep(1000)", "did not finish within 1 s"),
        ("import nowhere_at_all", "No module named 'nowhere_at_all'"),
        ("Other = 1", "has no 'Backend'"),
    ],
)
def test_a_backend_that_cannot_be_loaded_fails_by_name_with_its_cause(
    plugin_folder: Any, backend: str, says: str
) -> None:
    plugin_folder.add_backend("ailing", "load_limit_s=1.0" if "sleep" in backend else "", backend=backend)
    for _ in range(2):
        with pytest.raises(PluginError) as caught:
            _resolve(plugin_folder, "ailing")
        assert says in caught.value.details[0]
        assert "plugins show ailing" in caught.value.todo


def test_options_are_checked_before_anything_is_made(plugin_folder: Any) -> None:
    plugin_folder.add_backend("wanted", "options=Options", manifest=OPTIONS)
    with pytest.raises(PluginError, match="'rows'"):
        _resolve(plugin_folder, "wanted", options={"row": 1})


def test_a_load_that_fails_with_its_options_says_them(plugin_folder: Any) -> None:
    backend = "class Backend:\n    def __init__(self, *, rows):\n        assert rows >= 8, 'too few'"
    plugin_folder.add_backend("wanted", "options=Options", manifest=OPTIONS, backend=backend)
    with pytest.raises(PluginError, match="failed to load") as caught:
        _resolve(plugin_folder, "wanted", options={"rows": 1})
    assert caught.value.details == ("AssertionError: too few", "option rows = 1")


def test_a_head_size_container_that_raises_is_a_reason(plugin_folder: Any) -> None:
    container = "class Odd:\n    def __contains__(self, x):\n        raise LookupError('odd')\n"
    plugin_folder.add_backend("ailing", "head_dims=Odd()", manifest=container)
    with pytest.raises(PluginError, match="cannot serve") as caught:
        _resolve(plugin_folder, "ailing", request={"head_dim": 64})
    assert "LookupError: odd" in caught.value.details[0]


def test_a_kernel_is_completed_from_the_reference_and_says_so(plugin_folder: Any) -> None:
    plugin_folder.add_backend("norms", "ops={'rms_norm'}, rank=9", kind="kernel", backend=NAMED)
    plugin_folder.add_backend("whole", f"{ALL_OPS}, reference=True", kind="kernel", backend=NAMED)
    plugin_folder.add_backend("rival", ALL_OPS, kind="kernel", backend=NAMED)
    piece = _resolve(plugin_folder, "norms", kind="kernel")
    assert piece.providers == piece.backend.providers
    assert piece.providers["rms_norm"] == "norms:norms"
    assert piece.providers["rotary"] == "whole:whole"
    assert piece.completed_by is not None
    assert piece.completed_by.id == "whole:whole"
    assert piece.backend.rms_norm() == "norms.backend"
    assert piece.backend.linear_cross_entropy() == "whole.backend"
    assert "linear_cross_entropy, cross_entropy, rotary from whole" in piece.line()


def test_a_whole_kernel_needs_no_reference(plugin_folder: Any) -> None:
    plugin_folder.add_backend("rival", ALL_OPS, kind="kernel", backend=NAMED)
    piece = _resolve(plugin_folder, "rival", kind="kernel")
    assert piece.completed_by is None
    assert set(piece.providers.values()) == {"rival:rival"}


def test_a_kernel_that_nothing_completes_is_an_error(plugin_folder: Any) -> None:
    plugin_folder.add_backend("norms", "ops={'rms_norm'}", kind="kernel", backend=NAMED)
    with pytest.raises(PluginError, match="reference=True"):
        _resolve(plugin_folder, "norms", kind="kernel")
    plugin_folder.add_backend("whole", f"{ALL_OPS}, reference=True, dtypes='fp16'", kind="kernel", backend=NAMED)
    with pytest.raises(PluginError, match="reference=True") as caught:
        _resolve(plugin_folder, "norms", kind="kernel", request={"dtype": "fp32"})
    assert "dtype fp32" in caught.value.details[0]
