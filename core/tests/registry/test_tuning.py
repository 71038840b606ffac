"""Measured times order under auto when they are of exactly what is ready; else rank does, and that is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from nanoplug.registry.choice import Choice
from nanoplug.registry.discover import discover
from nanoplug.registry.machine import Machine
from nanoplug.registry.nvidia import Gpu
from nanoplug.registry.request import Request
from nanoplug.registry.select import Resolver, resolve
from nanoplug.registry.tuning import Profile, Time, Tuning, bucket_of, made_of, power_of_two

HERE = evolve(Machine.here(), devices=("cpu",), gpus=())
ASKED = Request(device="cpu", dtype="fp32", head_dim=16, heads=4, kv_heads=2, tokens=2048, window=1024, backward=True)
LOSS = Request(device="cpu", dtype="fp32", rows=32768, width=1280, vocabulary=65536, softcap=True)


@pytest.mark.parametrize(
    ("number", "nearest"), [(0, 0), (1, 1), (2, 2), (3, 4), (1448, 1024), (1449, 2048), (2047, 2048), (50304, 65536)]
)
def test_nearest_power_of_two(number: int, nearest: int) -> None:
    assert power_of_two(number) == nearest


@pytest.mark.parametrize(
    ("same", "change"),
    [
        (True, {"tokens": 1900}),
        (False, {"tokens": 4096}),
        (True, {"window": 1023}),
        (False, {"window": 256}),
        (False, {"window": -1}),
        (False, {"head_dim": 32}),
        (False, {"heads": 8}),
        (True, {"heads": 8, "kv_heads": 4}),
        (False, {"dtype": "bf16"}),
        (False, {"segments": True}),
        (True, {"backward": None}),
    ],
)
def test_buckets_of_attention(same: bool, change: dict[str, Any]) -> None:
    assert (bucket_of("attention", ASKED, HERE) == bucket_of("attention", evolve(ASKED, **change), HERE)) is same


def test_a_window_as_long_as_the_row_is_none() -> None:
    whole = bucket_of("attention", evolve(ASKED, window=None), HERE)
    assert whole is not None
    assert whole == bucket_of("attention", evolve(ASKED, window=2047), HERE)
    assert whole == bucket_of("attention", evolve(ASKED, window=-1), HERE)


@pytest.mark.parametrize(
    ("same", "change"),
    [
        (True, {"rows": 30000}),
        (False, {"rows": 16384}),
        (True, {"width": 1536}),
        (False, {"width": 2048}),
        (False, {"width": 768}),
        (True, {"vocabulary": 50304}),
        (False, {"vocabulary": 32768}),
        (False, {"softcap": None}),
        (True, {"ops": "linear_cross_entropy"}),
    ],
)
def test_buckets_of_kernels(same: bool, change: dict[str, Any]) -> None:
    assert (bucket_of("kernel", LOSS, HERE) == bucket_of("kernel", evolve(LOSS, **change), HERE)) is same


@pytest.mark.parametrize(
    ("kind", "request_"),
    [
        ("attention", Request()),
        ("attention", evolve(ASKED, tokens=None)),
        ("attention", evolve(ASKED, dtype=None)),
        ("attention", evolve(ASKED, cache=True)),
        ("attention", evolve(ASKED, noncausal=True)),
        ("kernel", evolve(LOSS, rows=None)),
        ("kernel", evolve(LOSS, ops="rms_norm")),
        ("tokenizer", Request(dtype="fp32")),
    ],
)
def test_what_leaves_open_what_decides_has_no_bucket(kind: str, request_: Request) -> None:
    assert bucket_of(kind, request_, HERE) is None


def test_gpus_are_told_apart_by_their_names() -> None:
    def on(name: str) -> str | None:
        machine = evolve(HERE, devices=("cuda", "cpu"), gpus=(Gpu(name=name, compute_capability="9.0"),))
        return bucket_of("attention", evolve(ASKED, device="cuda"), machine)

    assert on("NVIDIA H200") != on("NVIDIA H100")
    assert "NVIDIA H200" in (on("NVIDIA H200") or "")


@pytest.fixture
def tuned(plugin_folder: Any, tmp_path: Path) -> Callable[..., Tuning]:
    """Backends low, middle, high (by rank) and absent, which cannot serve; `tuned(low=1.0, ...)` records their ms."""
    for rank, name in enumerate(("low", "middle", "high")):
        plugin_folder.add_backend(name, f"rank={rank}, window=True, gqa=True, backward=True")
    plugin_folder.add_backend("absent", "rank=9, window=True, gqa=True, backward=True, needs=Needs(platforms='plan9')")

    def record(**ms: float | None) -> Tuning:
        catalogue = discover([str(plugin_folder.path)])
        times = {}
        for name, taken in ms.items():
            (entry,) = catalogue.named("attention", name)
            failed = "out of memory" if taken is None else ""
            of = made_of(entry, HERE)
            times[entry.id] = Time(made_of=of, forward_ms=100.0 - (taken or 0), training_ms=taken, failed=failed)
        bucket = bucket_of("attention", ASKED, HERE)
        assert bucket
        tuning = Tuning(tmp_path / "base" / "tuning.json")
        tuning.record({bucket: Profile(date="2026-11-20", shape="T=2048", compiled=False, times=times)})
        return tuning

    return record


def _resolve(plugin_folder: Any, tuning: Tuning | None, choice: str = "auto", **rest: Any) -> Any:
    rest = {"request": ASKED, **rest}
    catalogue = discover([str(plugin_folder.path)])
    return resolve(catalogue, HERE, kind="attention", choice=Choice.parse(choice), tuning=tuning, **rest)


def test_the_fastest_is_chosen_and_why_says_so(plugin_folder: Any, tuned: Callable[..., Tuning]) -> None:
    tuning = tuned(low=2.04, middle=3.0, high=4.0)
    piece = _resolve(plugin_folder, tuning)
    assert piece.name == "low"
    assert piece.why == "auto: tuned on 2026-11-20: 2.04 ms, next middle 3 ms"
    assert [name for name, _ in piece.rejected] == ["absent:absent"]
    bucket = bucket_of("attention", ASKED, HERE)
    assert bucket
    profile = tuning.profile(bucket)
    assert profile
    assert piece.tuning == profile.sha256


def test_forward_alone_goes_by_forward_times(plugin_folder: Any, tuned: Callable[..., Tuning]) -> None:
    tuning = tuned(low=2.0, middle=3.0, high=4.0)
    assert _resolve(plugin_folder, tuning, request=evolve(ASKED, backward=None)).name == "high"


def test_the_user_still_decides(plugin_folder: Any, tuned: Callable[..., Tuning]) -> None:
    tuning = tuned(low=2.0, middle=3.0, high=4.0)
    for choice, name in (("middle", "middle"), ("prefer=high", "high")):
        piece = _resolve(plugin_folder, tuning, choice)
        assert (piece.name, piece.tuning) == (name, "")
    assert _resolve(plugin_folder, tuning, "forbid=low").name == "middle"
    by_rank = _resolve(plugin_folder, None)
    assert (by_rank.name, by_rank.why, by_rank.tuning) == ("high", "auto: rank 2, best of 3 that fit", "")


def test_what_did_not_run_comes_last_and_alone_is_no_reason(plugin_folder: Any, tuned: Callable[..., Tuning]) -> None:
    piece = _resolve(plugin_folder, tuned(low=2.0, middle=None, high=None))
    assert (piece.name, piece.why) == ("low", "auto: tuned on 2026-11-20: 2 ms")
    piece = _resolve(plugin_folder, tuned(low=None, middle=None, high=None))
    assert piece.name == "high"
    assert "no backend that is ready ran there" in piece.why


def test_a_backend_that_was_not_measured_makes_it_rank_again(plugin_folder: Any, tuned: Callable[..., Tuning]) -> None:
    piece = _resolve(plugin_folder, tuned(low=2.0, middle=3.0))
    assert (piece.name, piece.tuning) == ("high", "")
    assert piece.why == (
        "auto: rank 2, best of 3 that fit; the times of 2026-11-20 are not used: high is not among them"
    )


def test_changed_files_make_it_rank_again(plugin_folder: Any, tuned: Callable[..., Tuning]) -> None:
    tuning = tuned(low=2.0, middle=3.0, high=4.0)
    backend = plugin_folder.path / "middle" / "backend.py"
    backend.write_text(backend.read_text() + "\n# mended\n")
    piece = _resolve(plugin_folder, tuning)
    assert piece.name == "high"
    assert piece.why.endswith("the times of 2026-11-20 are not used: middle has changed since (its files)")


def test_another_torch_makes_it_rank_again(plugin_folder: Any, tuned: Callable[..., Tuning]) -> None:
    tuning = tuned(low=2.0, middle=3.0, high=4.0)
    described = evolve(HERE, given={"torch": "2.10"}, is_here=False)
    resolver = Resolver(discover([str(plugin_folder.path)]), described, may_probe=False, tuning=tuning)
    first, *_ = [one for one in resolver.candidates("attention", ASKED) if one.ok]
    assert first.entry.name == "high"
    assert "torch" in first.untimed
    assert "-> 2.10" in first.untimed


def test_options_go_by_rank(plugin_folder: Any, tuned: Callable[..., Tuning]) -> None:
    options = "@frozen(kw_only=True)\nclass Options:\n    rows: int = 1\n"
    plugin_folder.add_backend("high", "rank=2, window=True, gqa=True, backward=True, options=Options", manifest=options)
    piece = _resolve(plugin_folder, tuned(low=2.0, middle=3.0, high=4.0), options={"rows": 2})
    assert (piece.name, piece.tuning) == ("high", "")


def test_candidates_show_it(plugin_folder: Any, tuned: Callable[..., Tuning]) -> None:
    tuning = tuned(low=2.04, middle=None, high=4.0)
    resolver = Resolver(discover([str(plugin_folder.path)]), HERE, may_probe=False, tuning=tuning)
    found = [(one.entry.name, str(one.timed)) for one in resolver.candidates("attention", ASKED) if one.ok]
    assert found == [
        ("low", "tuned for this shape on 2026-11-20: 2.04 ms"),
        ("high", "tuned for this shape on 2026-11-20: 4 ms"),
        ("middle", "tuned for this shape on 2026-11-20: out of memory"),
    ]


def test_recording_keeps_other_buckets(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path / "tuning.json")
    one = Profile(date="2026-11-20", shape="a", compiled=True, times={"d:x": Time(made_of={"d": "1"}, forward_ms=1.0)})
    tuning.record({"a": one, "b": one})
    tuning.record({"b": evolve(one, shape="b")})
    assert tuning.profile("a") == one
    assert tuning.profile("b") == evolve(one, shape="b")
    assert one.sha256 != evolve(one, shape="b").sha256


@pytest.mark.parametrize("text", ["", "{}", '{"format": 9, "profiles": {}}', '{"format": 1, "profiles": {"a": 3}}'])
def test_a_file_that_cannot_be_read_is_said_to_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = tmp_path / "tuning.json"
    path.write_text(text)
    assert Tuning(path).profile("a") is None
    assert str(path) in capsys.readouterr().err
    assert Tuning(tmp_path / "missing.json").profile("a") is None
    assert capsys.readouterr().err == ""
