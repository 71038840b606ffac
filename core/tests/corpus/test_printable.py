from __future__ import annotations

import os

from nanoplug.corpus.printable import printable


def test_names_of_any_bytes() -> None:
    assert printable(os.fsdecode(b"a/\xff\xc3\xbc.cc")) == "a/\\xff\u00fc.cc"
    assert printable("gr\u00f6\u00dfer/\u6570.h") == "gr\u00f6\u00dfer/\u6570.h"
