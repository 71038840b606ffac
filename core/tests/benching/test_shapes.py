from __future__ import annotations

import pytest

from nanoplug.benching.shapes import DEFAULTS, AttentionShape, LossShape, default_shapes, parse_shape
from nanoplug.errors import ConfigError


def test_what_is_said_and_what_is_not() -> None:
    assert parse_shape("attention", "B=16, T=2048,H=16,G=4,D=128,window=1024") == AttentionShape(
        B=16, T=2048, H=16, G=4, D=128, window=1024
    )
    assert parse_shape("attention", "T=64") == AttentionShape(T=64)
    assert parse_shape("kernel", "N=32768,D=1280,V=65536,softcap=15") == LossShape(N=32768, D=1280, V=65536, softcap=15)
    assert parse_shape("kernel", "softcap=7.5").softcap == 7.5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", ["B=2,T=64,H=4,G=4,D=16", "B=2,T=64,H=4,G=2,D=16,window=32", "B=1,T=64,H=4,G=2,D=16,segments=3"]
)
def test_a_shape_is_written_as_it_is_read(text: str) -> None:
    assert str(parse_shape("attention", text)) == text


def test_groups_are_the_heads_unless_said() -> None:
    assert str(parse_shape("attention", "H=6")).startswith("B=1,T=2048,H=6,G=6")


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("attention", "windw=3", "'windw' is unknown (did you mean 'window'?)"),
        ("attention", "T=1,T=2", "'T' is given twice"),
        ("attention", "T=many", "T is 'many'; it must be a number"),
        ("attention", "T", "T is ''"),
        ("attention", "T=0", "T is 0; it must be at least 1"),
        ("attention", "window=-2", "at least -1"),
        ("attention", "H=6,G=4", "6 query heads do not divide"),
        ("attention", "N=5", "'N' is unknown"),
        ("kernel", "softcap=-1", "at least 0"),
        ("kernel", "softcap=nan", "softcap is nan"),
        ("kernel", " , ", "empty"),
    ],
)
def test_what_is_wrong_is_said(kind: str, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_shape(kind, text)
    assert says in str(caught.value)


def test_every_default_parses() -> None:
    assert {len(default_shapes(kind, "cuda" if gpu else "cpu")) for kind, gpu in DEFAULTS} == {2, 3, 4, 6}


def test_requests_name_what_decides() -> None:
    request = parse_shape("attention", "T=64,H=4,G=2,D=16,window=7,segments=2").request("cpu", "fp32", backward=True)
    assert (request.tokens, request.heads, request.kv_heads, request.head_dim) == (64, 4, 2, 16)
    assert (request.window, request.segments, request.backward) == (7, True, True)
    loss = parse_shape("kernel", "N=8,D=4,V=16").request("cuda", "bf16")
    assert (loss.rows, loss.width, loss.vocabulary, loss.softcap, loss.device) == (8, 4, 16, None, "cuda")
