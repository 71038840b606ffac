from __future__ import annotations

from typing import Any

from nanoplug.corpus.licences import LicencePolicy
from nanoplug.corpus.screening import screen_project

TOKEN = "ghp" + "_" + "a1B2" * 9


def test_licences_and_secrets(hand: Any) -> None:
    hand.functions("a.cc", {"f": []})
    hand.file("key.cc", f'int f();\n\nconst char* k() {{ return "{TOKEN}"; }}\n')
    hand.define("key.cc", f'const char* k() {{ return "{TOKEN}"; }}', "k")
    hand.file("gpl.cc", "// SPDX-License-Identifier: GPL-3.0-only\nint gpl() { return 3; }\n")
    hand.define("gpl.cc", "int gpl() { return 3; }", "gpl")
    found = screen_project(hand.index(), hand.root, LicencePolicy(), secrets=True)
    assert found.licences == {"GPL-3.0-only": 1, "unknown": 2}
    assert found.secrets == {"GitHub Token": ("key.cc:3",)}
    assert found.screened.cause("a.cc", 0, 10) is None
    assert found.screened.cause("gpl.cc", 50, 60) == "licence GPL-3.0-only"
    assert found.screened.cause("key.cc", 0, 8) is None
    assert found.screened.cause("key.cc", 10, 80) == "holds a key or token"
    unfiltered = screen_project(hand.index(), hand.root, LicencePolicy(kind="any"), secrets=False)
    assert (unfiltered.screened.files, unfiltered.screened.ranges, unfiltered.secrets) == ({}, {}, {})
