"""`nanoplug verify` says what holds, what does not and by how much, and ends with 1 when something does not."""

from __future__ import annotations

import json

from click.testing import CliRunner

from nanoplug.cli.main import cli

RIGHT = "from nanoplug.conformance.attention_wrong import Right as Backend\n"
WRONG = "from nanoplug.conformance.attention_wrong import Unscaled as Backend\n"
NAN = """
from nanoplug.conformance.attention_wrong import Right

class Backend(Right):
    def mix(self, q_BTHD, k_BSGD, v_BSGD, seen_BTS):
        return q_BTHD * float("nan")
"""


def test_a_right_backend_passes(plugin_folder: object) -> None:
    plugin_folder.add_backend("acme", "window=True", backend=RIGHT)  # type: ignore[attr-defined]
    done = CliRunner().invoke(cli, ["verify", "attention", "acme"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["law", "cases", "worst", "error", "limit", "wrong", "rejected", "status"]
    assert any(line.startswith("window ") and "5 of 5" in line and line.endswith(" ok") for line in lines)
    assert any(line.startswith("segments ") and "skipped: no case for what is declared" in line for line in lines)
    assert lines[-1].startswith("PASSED  attention acme on cpu: ")
    assert ", 0 failed, " in lines[-1]


def test_json_has_a_row_for_each_case(plugin_folder: object) -> None:
    plugin_folder.add_backend("acme", backend=WRONG)  # type: ignore[attr-defined]
    done = CliRunner().invoke(cli, ["verify", "attention", "acme", "--device", "cpu", "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    rows = found["laws"]
    assert found["failed"] == sum(not row["ok"] for row in rows) > 0
    assert found["passed"] == sum(row["ok"] and not row["skipped"] for row in rows) > 0
    assert found["skipped"] == sum(bool(row["skipped"]) for row in rows) > 0
    assert found["wrong_survived"] == []
    broken = next(row for row in rows if not row["ok"])
    assert (broken["law"], broken["limit"]) == ("causal", 2e-5)
    assert broken["error"] > 2e-5
    assert "off by" in broken["detail"]


def test_what_is_not_finite_is_json_all_the_same(plugin_folder: object) -> None:
    plugin_folder.add_backend("acme", backend=NAN)  # type: ignore[attr-defined]
    done = CliRunner().invoke(cli, ["verify", "attention", "acme", "--json"])
    assert done.exit_code == 1
    broken = next(row for row in json.loads(done.stdout)["laws"] if not row["ok"])
    assert broken["error"] is None
    assert "inf" in broken["detail"]


def test_a_broken_law_is_shown_with_its_cases(plugin_folder: object) -> None:
    plugin_folder.add_backend("acme", backend=WRONG)  # type: ignore[attr-defined]
    done = CliRunner().invoke(cli, ["verify", "attention", "acme"])
    assert done.exit_code == 1
    assert "BROKEN" in done.stdout
    assert "    fp32 B2 T2 H2 G2 D32: output is off by " in done.stdout
    assert "    and " in done.stdout
    assert done.stdout.splitlines()[-1].startswith("FAILED  attention acme on cpu: ")


def test_an_unknown_name_is_one_clear_sentence() -> None:
    done = CliRunner().invoke(cli, ["verify", "attention", "nobody"])
    assert done.exit_code == 1
    assert "there is no attention 'nobody'" in done.output
    assert "Traceback" not in done.output


def test_bench_need_not_prove_again_what_was_verified(plugin_folder: object) -> None:
    plugin_folder.add_backend("acme", "backward=True", backend=RIGHT)  # type: ignore[attr-defined]
    shape = ["--shapes", "B=1,T=16,H=2,D=16", "--rounds", "1", "--device", "cpu", "--backends", "acme"]
    assert CliRunner().invoke(cli, ["verify", "attention", "acme"]).exit_code == 0
    done = CliRunner().invoke(cli, ["bench", "attention", *shape])
    assert done.exit_code == 0, done.output
    assert "verifying" not in done.output


def test_a_backend_that_no_law_has_a_case_for_is_not_called_proved(plugin_folder: object) -> None:
    plugin_folder.add_backend("acme", kind="tokenizer")  # type: ignore[attr-defined]
    done = CliRunner().invoke(cli, ["verify", "tokenizer", "acme"])
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1].startswith("UNPROVED  tokenizer acme: no law has a case")
    assert "nanoplug tokenizer verify FOLDER" in done.stdout
