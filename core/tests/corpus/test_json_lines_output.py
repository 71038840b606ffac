from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nanoplug.data.fim_pairs import Pair
from nanoplug.errors import DataError


def test_json_lines(tmp_path: Path, output: Any) -> None:
    path = tmp_path / "deep" / "out.jsonl"
    split, _ = output.write(path, output.documents(1), pairs=output.pairs)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert rows[1] == {"text": "int f1p0() {} // ü", "path": "f1.cc", "project": "p0", "usr": "u1"}
    assert split.train_documents == len(rows) == 3
    assert len((tmp_path / "deep" / "out.fim_pairs.jsonl").read_text().splitlines()) == 2
    assert json.loads((tmp_path / "deep" / "out.data.json").read_text())["train_documents"] == 3


def test_appending(tmp_path: Path, output: Any) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text('{"text": "before"}')
    _, known = output.write(path, output.documents(1), append=True, pairs=output.pairs)
    assert len(known) == 1
    assert [json.loads(line)["text"] for line in path.read_text("utf-8").splitlines()] == [
        "before",
        *(document.text for document in output.documents(1)),
    ]
    output.write(path, [], append=True, pairs={**output.pairs, "p2": [Pair("c", "h()", "z")]})
    assert len((tmp_path / "out.fim_pairs.jsonl").read_text().splitlines()) == 3


@pytest.mark.parametrize("line", ["{", "[]", '{"txt": 1}', '{"text": 1}'])
def test_lines_that_are_none(tmp_path: Path, output: Any, line: str) -> None:
    (tmp_path / "out.jsonl").write_text(f'{{"text": "fine"}}\n{line}\n')
    with pytest.raises(DataError, match="line 2"):
        output.write(tmp_path / "out.jsonl", output.documents(1), append=True)
