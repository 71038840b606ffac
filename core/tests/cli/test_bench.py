"""`nanoplug bench` on backends of its own: who is measured, what is printed, written and remembered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nanoplug.benching import proof
from nanoplug.cli import bench as module
from nanoplug.conformance import kit
from nanoplug.registry.tuning import Tuning

Run = Callable[..., Any]
SHAPE = "B=1,T=16,H=2,G=2,D=8"
ATTENTION = """
from torch.nn.functional import scaled_dot_product_attention
class Backend:
    def attend(self, q, k, v, *, mask):
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        tail = scaled_dot_product_attention(q, k[:, :, :q.shape[2]], v[:, :, :q.shape[2]], is_causal=True)
        return tail.transpose(1, 2){}
"""
SLOW = ATTENTION.replace("        tail", "        __import__('time').sleep(0.003)\n        tail")
DECLARES = "backward=True, rank={}"


@pytest.fixture
def run(plugin_folder: Any, monkeypatch: pytest.MonkeyPatch, run_here: Run, tmp_path: Path) -> Run:
    """`run("attention", ...)` with a base folder of its own and one law, which the backend `wrong` breaks."""
    monkeypatch.setenv("NANOPLUG_BASE_DIR", str(tmp_path / "base"))
    found, laws = module.discover, kit.laws_for
    monkeypatch.setattr(module, "discover", lambda: found([str(plugin_folder.path)]))
    monkeypatch.setattr(kit, "laws_for", lambda kind: [law for law in laws(kind) if law.name == "hidden_keys"])
    plugin_folder.add_backend("quick", DECLARES.format(1), backend=ATTENTION.format(""))
    plugin_folder.add_backend("slow", DECLARES.format(9), backend=SLOW.format(""))
    plugin_folder.add_backend("wrong", DECLARES.format(5), backend=ATTENTION.format(" + v.mean()"))
    plugin_folder.add_backend("elsewhere", "needs=Needs(devices='xla')")
    return lambda *arguments: run_here("bench", *arguments)


def _rows(tmp_path: Path) -> dict[str, Any]:
    lines = (tmp_path / "base" / "bench" / "bench.jsonl").read_text().splitlines()
    return {row["name"]: row for row in map(json.loads, lines)}


def test_those_that_pass_are_measured_and_the_others_said(run: Run, tmp_path: Path) -> None:
    result = run("attention", "--shapes", SHAPE, "--rounds", "3", "--device", "cpu")
    assert (result.exit_code, result.exception) == (0, None), result.output
    assert "left out: elsewhere: serves device xla, not cpu" in result.stdout
    table = [line.split() for line in result.stdout.splitlines()]
    assert [line[0] for line in table if line and line[0] in ("quick", "slow", "wrong")] == ["quick", "slow", "wrong"]
    assert "not measured: breaks hidden_keys; see `nanoplug verify attention wrong`" in result.stdout
    rows = _rows(tmp_path)
    assert rows["quick"]["over_best"] == 1.0
    assert rows["slow"]["over_best"] > 1
    assert (rows["wrong"]["training_ms"], rows["quick"]["unit"]) == (None, "ms, median")
    assert {"date", "torch", "made_of", "device", "dtype", "shape"} <= set(rows["quick"])


def test_laws_are_not_run_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("attention", "--shapes", SHAPE, "--rounds", "1", "--device", "cpu")
    assert "verifying attention quick" in run(*arguments).stdout
    monkeypatch.setattr(proof, "run_laws", None)
    again = run(*arguments)
    assert again.exit_code == 0, again.output
    assert "verifying" not in again.stdout


def test_json_alone_on_stdout_out_and_plot(run: Run, tmp_path: Path) -> None:
    picture, out = tmp_path / "p" / "bench.svg", tmp_path / "rows"
    shapes = ("--shapes", SHAPE, "--shapes", f"{SHAPE},window=4")
    result = run(
        "attention", *shapes, "--backends", "quick", "--rounds", "1", "--json", "--plot", picture, "--out", out
    )
    assert result.exit_code == 0, result.output
    plain, windowed = json.loads(result.stdout)
    assert (plain["shape"], windowed["shape"]) == (SHAPE, f"{SHAPE},window=4")
    assert windowed["failed"].startswith("serves no window")
    assert len((out / "bench.jsonl").read_text().splitlines()) == 2
    assert "<svg" in picture.read_text()


def test_tune_lets_auto_choose_by_time(run: Run, run_here: Run, tmp_path: Path, monkeypatch: Any) -> None:
    result = run("attention", "--shapes", SHAPE, "--rounds", "3", "--device", "cpu", "--tune")
    assert "auto goes by these times here" in result.stdout
    assert Tuning().path == tmp_path / "base" / "tuning.json"
    from nanoplug.cli import explain

    monkeypatch.setattr(explain, "discover", module.discover)
    asked = ("attention", "--on", "cpu,dtype=fp32,head_dim=8,heads=2,kv_heads=2,tokens=16,backward")
    lines = run_here("explain", *asked).stdout.splitlines()
    (chosen,) = [line for line in lines if " chosen " in line]
    assert chosen.startswith("quick")
    assert "rank 1, tuned for this shape on 20" in chosen
    (wrong,) = [line for line in lines if line.startswith("wrong")]
    assert "not measured: breaks hidden_keys" in wrong
    by_rank = run_here("explain", *asked, "--no-tuning", "--json").stdout
    assert json.loads(by_rank)["chosen"] == "slow"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--shapes", "T=x"), "T is 'x'"),
        (("--device", "tpu"), "device 'tpu' is not here"),
        (("--plot", "bench.txt"), "a picture must end in .png"),
        (("--backends", "quikc"), "there is no attention 'quikc' (did you mean 'quick'?)"),
        (("--backends", "elsewhere"), "attention 'elsewhere' cannot serve"),
        (("--dtype", "fp16"), "no attention here serves fp16 on cpu"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(run: Run, arguments: tuple[str, ...], says: str) -> None:
    result = run("attention", "--device", "cpu", *arguments)  # the last of two devices counts
    assert result.exit_code == 1
    assert says in result.stderr
    assert "verifying" not in result.stdout
