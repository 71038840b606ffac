"""A package that is not of this project, as a wheel beside the core alone: found, used, proved, and in the receipt."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(clean_environment: Callable[..., Any], core_wheel: Path, acme_wheel: Path) -> Any:
    return clean_environment(core_wheel, acme_wheel)


def _json(finished: subprocess.CompletedProcess[str]) -> Any:
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_it_is_the_only_plugin_and_ready(environment: Any) -> None:
    (row,) = _json(environment.run("nanoplug", "plugins", "list", "--json"))
    assert row == {
        "kind": "attention",
        "name": "acme",
        "id": "acme-attention:acme",
        "distribution": "acme-attention",
        "version": "0.3.0",
        "api": ">=1,<2",
        "status": "ready",
        "reasons": [],
    }
    assert environment.run("nanoplug", "plugins", "doctor").returncode == 0


def test_its_command_is_there(environment: Any) -> None:
    assert "Greet somebody from Acme." in environment.run("nanoplug", "--help").stdout
    assert environment.run("nanoplug", "acme-hello", "--name", "you").stdout == "acme greets you\n"


def test_it_passes_verify_by_name(environment: Any) -> None:
    report = _json(environment.run("nanoplug", "verify", "attention", "acme", "--json"))
    assert report["failed"] == 0
    assert report["passed"] > 100


def test_its_inherited_test_class_runs(environment: Any, tmp_path: Path) -> None:
    test = ROOT / "tests" / "out_of_tree" / "acme" / "tests" / "test_conformance.py"
    (tmp_path / "test_conformance.py").write_text(test.read_text(encoding="utf-8"), encoding="utf-8")
    finished = environment.run("python", "-m", "pytest", "-q", "-k", "causal", "test_conformance.py", cwd=tmp_path)
    assert finished.returncode == 0, finished.stdout
    assert "passed" in finished.stdout


def test_it_is_chosen_by_name_and_in_the_receipt(environment: Any) -> None:
    code = """
from nanoplug.registry import *
piece = resolve(discover(), Machine.here(), kind="attention", site="attention.train", choice=Choice.parse("acme"),
                request=Request(dtype="fp32", backward=True), options={"block_tokens": 32})
print(Receipt.of([piece]).to_json())
"""
    (piece,) = _json(environment.run("python", "-c", code))["pieces"]
    assert (piece["site"], piece["name"], piece["why"]) == ("attention.train", "acme", "by name")
    assert (piece["distribution"], piece["version"]) == ("acme-attention", "0.3.0")
    assert piece["options"] == {"block_tokens": 32}
    assert len(piece["files_sha256"]) == 64


def test_with_the_light_part_alone_everything_light_still_works(
    clean_environment: Callable[..., Any], core_wheel: Path, acme_wheel: Path
) -> None:
    light = clean_environment(core_wheel, acme_wheel, heavy=False)
    (row,) = _json(light.run("nanoplug", "plugins", "list", "--json"))
    assert row["status"] == "unavailable"
    assert "needs torch>=2.9, which is not installed" in row["reasons"][0]
    on = ("--on", "sm_89,torch=2.11,dtype=bf16,head_dim=128,window=1024")
    assert _json(light.run("nanoplug", "explain", "attention", *on, "--json"))["chosen"] == "acme"
    finished = light.run("nanoplug", "verify", "attention", "acme")
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: ")
    assert "Traceback" not in finished.stderr
