"""Versions and ranges mean what PEP 440 says; `packaging` is the reference."""

from __future__ import annotations

import itertools

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from nanoplug.registry.versions import in_range, parse_requirement, parse_version

_VERSIONS = """1 1.0 1.0.0 0.9 1.0.dev1 1.0a1 1.0a1.dev2 1.0b2 1.0rc1 1.0.post1 1.0.post1.dev3 1.0-1 1.0+cpu 1.0+cu130
1.0+cu.13 1.0.post1+local 1.1 1.2.3 1.2.3.4 1.10 2.0 2.0.0a0 2.0.dev0 2.0rc1 2.11.0+cpu 2.13.0.dev20261101+cpu
1!0.5 v3.0
3.0-beta.2 3.0.rev2"""
_RANGES = """>=1 >1 <1 <=1 ==1 !=1 ~=1.0 ~=1.0.0 ==1.* !=1.0.* >=1.0a1 <1.0rc1 <2.0 <2.0.dev1 >1.0.post1
>=1.0.post1 ==1.0+cpu
!=1.0+cpu ==1.0+cu130 >=2.9,<2.14 ~=2.11 ==2.13.* >=1!0 <3"""
VERSIONS, RANGES = _VERSIONS.split(), _RANGES.split()


def test_order_is_that_of_packaging() -> None:
    for left, right in itertools.product(VERSIONS, repeat=2):
        assert (parse_version(left) < parse_version(right)) == (Version(left) < Version(right)), (left, right)
        assert (parse_version(left) == parse_version(right)) == (Version(left) == Version(right)), (left, right)


@pytest.mark.parametrize("text", RANGES)
def test_ranges_hold_what_packaging_says(text: str) -> None:
    for version in VERSIONS:
        expected = SpecifierSet(text).contains(version, prereleases=True)
        assert in_range(version, text) == expected, (version, text)


def test_empty_range_holds_any() -> None:
    assert in_range("0.0.1.dev1", "")


@pytest.mark.parametrize("text", ["1.0", ">=", ">=x", "=1", ">=1 <2", ">=1.*", "~=1", ">=1,,2"])
def test_what_is_no_range_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        in_range("1.0", text)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("torch>=2.9,<3", ("torch", ">=2.9,<3")),
        ("flash-attn", ("flash-attn", "")),
        ("a.b_c [extra,other] >= 1.0 , < 2", ("a.b_c", ">= 1.0 , < 2")),
        ("torch (>=2)", ("torch", ">=2")),
    ],
)
def test_requirement(text: str, expected: tuple[str, str]) -> None:
    assert parse_requirement(text) == expected


@pytest.mark.parametrize("text", ["", ">=1", "torch>=2; python_version<'3'", "torch @ https://x.y/z", "torch 2"])
def test_what_is_no_requirement_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_requirement(text)
