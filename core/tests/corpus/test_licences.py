from __future__ import annotations

from pathlib import Path

import pytest

from nanoplug.corpus.licences import UNKNOWN, LicencePolicy, licences_of, stated_licence
from nanoplug.errors import ConfigError

MIT = """MIT License

Copyright (c) 2024 Somebody

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""


@pytest.mark.parametrize(
    ("top", "licence"),
    [
        ("// SPDX-License-Identifier: MIT\n", "MIT"),
        ("/* SPDX-License-Identifier: GPL-2.0-only */\n", "GPL-2.0-only"),
        ("// SPDX-License-Identifier: (MIT OR Apache-2.0)\r\n", "(MIT OR Apache-2.0)"),
        ("// SPDX-License-Identifier: see the file LICENSE\n", UNKNOWN),
        ("// This program is under the GNU\n// General Public License, version 3\n", "GPL-2.0-or-later"),
        ("/* the GNU Lesser General\n * Public License */", "LGPL-2.1-or-later"),
        ('// Licensed under the Apache License, Version 2.0 (the "License");', "Apache-2.0"),
        ("// Use of this source code is governed by a BSD-style license in LICENSE.", None),
        ("int mit() { return 0; }", None),
    ],
)
def test_what_the_top_of_a_file_states(top: str, licence: str | None) -> None:
    assert stated_licence(top) == licence


@pytest.mark.parametrize(
    ("licence", "permissive"),
    [
        ("MIT", True),
        ("BSD-3-Clause", True),
        ("CC0-1.0", True),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-3.0-or-later", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("MPL-2.0", False),
        ("MIT OR GPL-2.0-only", True),
        ("MIT AND GPL-2.0-only", False),
        ("LicenseRef-proprietary", False),
        ("LicenseRef-of-a-firm", False),
    ],
)
def test_which_are_permissive(licence: str, permissive: bool) -> None:
    assert LicencePolicy().permits(licence) == permissive
    assert LicencePolicy(kind="strict").permits(licence) == permissive
    assert LicencePolicy(kind="any").permits(licence)


def test_unknown_and_permitted_by_name() -> None:
    assert LicencePolicy().permits(UNKNOWN)
    assert not LicencePolicy(kind="strict").permits(UNKNOWN)
    assert LicencePolicy(permit=("gpl-3.0-or-later",)).permits("GPL-3.0-or-later")


def test_the_nearest_licence_file_speaks_for_what_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "inner" / "deep").mkdir(parents=True)
    (tmp_path / "LICENSE").write_text(MIT)
    (tmp_path / "inner" / "COPYING").write_text("Some words of our own about the GNU General Public License.")
    files = {"a.cc": b"int a;", "inner/deep/b.cc": b"int b;", "inner/c.cc": b"// SPDX-License-Identifier: MIT\n"}
    assert licences_of(tmp_path, files) == {"a.cc": "MIT", "inner/deep/b.cc": "GPL-2.0-or-later", "inner/c.cc": "MIT"}


def test_no_licence_file_or_one_that_nobody_knows(tmp_path: Path) -> None:
    assert licences_of(tmp_path, {"a.cc": b"int a;"}) == {"a.cc": UNKNOWN}
    (tmp_path / "LICENSE.txt").write_text("Ask me.")
    assert licences_of(tmp_path, {"a.cc": b"int a;"}) == {"a.cc": UNKNOWN}


def test_wrong_names() -> None:
    with pytest.raises(ConfigError, match="did you mean 'permissive'"):
        LicencePolicy(kind="permisive")
    with pytest.raises(ConfigError, match="'GPL3' is no SPDX"):
        LicencePolicy(permit=("GPL3",))
