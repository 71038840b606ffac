"""`--audit` and `--canary` on whole runs: what does not hold stops the run, and training stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Train = Callable[..., Any]
LIAR = """
from torch.nn.functional import scaled_dot_product_attention
class Backend:
    calls = 0
    def attend(self, q, k, v, *, mask):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        Backend.calls += 1
        return scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2) * DRIFT
    def attend_cached(self, q, k, v, cache, *, mask):
        raise NotImplementedError
"""
DECLARES = "backward=True, rank=-1, launches={{'cpu': {!r}}}, memory='linear'"


def _losses(out: Path) -> list[float]:
    return [row["loss"] for row in map(json.loads, (out / "metrics.jsonl").read_text().splitlines()) if "loss" in row]


def test_good_backends_are_audited_and_watched_and_train_the_same_bits(train: Train, tmp_path: Path) -> None:
    plain, watched = tmp_path / "plain", tmp_path / "watched"
    changes: dict[str, Any] = {"steps": 4, "depth": 2, "window_pattern": "SL", "save_every": -1}
    assert train(plain, **changes).exit_code == 0
    result = train(watched, audit=True, canary=2, **changes)
    assert result.exit_code == 0, result.output
    said = [" ".join(line.split()) for line in result.stdout.splitlines() if line.startswith(("audit", "canary"))]
    assert any("attention.train: sdpa launched aten::" in line for line in said)
    assert any("kernel: torch launched aten::" in line for line in said)
    assert any("sdpa, window 16: memory x" in line for line in said)
    assert any("declared logits" in line for line in said)
    assert any("canary 2 steps, layers 0, 1, no drift. attention sdpa: " in line for line in said)
    assert _losses(watched) == _losses(plain)
    assert len(_losses(plain)) == 4


def test_a_lying_spec_stops_the_run_before_anything_is_written(
    train: Train, tmp_path: Path, plugin_folder: Any
) -> None:
    plugin_folder.add_backend("liar", DECLARES.format("aten::_fast_magic"), backend=LIAR.replace("DRIFT", "1"))
    result = train(tmp_path / "run", audit=True, steps=2, **{"attention.train": "liar"})
    assert result.exit_code == 1
    assert "audit: attention.train 'liar' claims to launch aten::_fast_magic" in result.stderr
    assert not (tmp_path / "run" / "receipt.json").exists()


@pytest.mark.parametrize("canary", [0, 1])
def test_a_drifting_attention_is_stopped_by_the_canary(
    train: Train, tmp_path: Path, plugin_folder: Any, canary: int
) -> None:
    honest = DECLARES.format("aten::scaled_dot_product_attention")
    plugin_folder.add_backend("drifting", honest, backend=LIAR.replace("DRIFT", "1.03"))
    changes: dict[str, Any] = {"steps": 2, "eval_every": -1, "attention.train": "drifting"}
    result = train(tmp_path / "run", audit=True, canary=canary, **changes)
    assert result.exit_code == canary, result.output
    if canary:
        assert "canary: attention drifting drifts in watched step 0: layer 0 output off by" in result.stderr
