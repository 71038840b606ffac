from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nanoplug.corpus.open_output import opened_output
from nanoplug.data.shards import Document, open_shards, split_shards, texts_of
from nanoplug.errors import ConfigError, ContractError, DataError


def test_a_restart_forgets(tmp_path: Path, output: Any) -> None:
    for name in ("out", "out.jsonl"):
        with opened_output(tmp_path / name, append=False, force=False, val_fraction=0.5) as opened:
            opened.add(Document("gone.cc", "gone", "gone", "g"), held_out=False)
            opened.restart()
            for document in output.documents(2):
                opened.add(document, held_out=False)
            opened.finish({}, {"left_out": {}})
    assert "gone" not in (tmp_path / "out.jsonl").read_text()
    shards = [path for side in split_shards(tmp_path / "out") for path in side]
    assert "gone" not in set(texts_of(open_shards(shards)))


def test_what_is_there_is_kept(tmp_path: Path, output: Any) -> None:
    for name in ("out", "out.jsonl"):
        output.write(tmp_path / name, output.documents(2))
        with pytest.raises(DataError, match=r"--force"):
            output.write(tmp_path / name, output.documents(3))
        output.write(tmp_path / name, output.documents(3), force=True)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 9
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    with pytest.raises(DataError, match="something else"):
        output.write(tmp_path / "mine", output.documents(2), force=True)


class Broken(dict[str, Any]):
    def items(self) -> Any:
        raise ContractError("broken")


def test_an_error_leaves_nothing(tmp_path: Path, output: Any) -> None:
    (tmp_path / "out.jsonl").write_text('{"text": "before"}\n')
    for name in ("out", "out.jsonl"):
        with pytest.raises(ContractError):
            output.write(tmp_path / name, output.documents(2), append=name != "out", pairs=Broken())
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert (tmp_path / "out.jsonl").read_text() == '{"text": "before"}\n'


def test_contradictions(tmp_path: Path, output: Any) -> None:
    with pytest.raises(ConfigError, match="give one of them"):
        output.write(tmp_path / "out.jsonl", [], append=True, force=True)
    with pytest.raises(ConfigError, match="folder of shards"):
        output.write(tmp_path / "out", [], append=True)
