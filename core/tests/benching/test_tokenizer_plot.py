from __future__ import annotations

from pathlib import Path

from nanoplug.benching.tokenizer_plot import draw
from nanoplug.benching.tokenizers import Entrant, TokenizerResult


def result(name: str, **values: float | str) -> TokenizerResult:
    entrant = Entrant(name=name, family="f", open=lambda: None, check=lambda _: "")  # type: ignore[arg-type, return-value]
    return TokenizerResult(entrant=entrant, vocab_size=1000, **values)  # type: ignore[arg-type]


def test_each_that_was_measured_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "new" / "b.svg"
    found = [result("quick", encode_mb_s=40.0, bytes_per_token=4.5), result("broken", failed="not measured")]
    draw(picture, found, title="a title")
    text = picture.read_text()
    assert "quick, 1,000 ids" in text
    assert "a title" in text
    assert "broken" not in text


def test_none_was_measured(tmp_path: Path) -> None:
    draw(tmp_path / "b.png", [result("broken", failed="not measured")], title="nothing")
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
