"""`nanoplug data index` on what goes wrong: each trouble is named in the report, and everything else is indexed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

pytest.importorskip("clang.cindex", reason="needs libclang: pip install 'nanoplug[clang]'")

GOOD = """// Adds one, as often as it is asked to do so.
int add_one(int value) {{
  int result = value + {number};
  return result;
}}

int twice_{number}(int value) {{
  int first = add_one(value);
  return add_one(first) + value;
}}
"""


@frozen
class Run:
    code: int
    report: dict[str, Any]
    stderr: str
    texts: tuple[str, ...]

    def problem(self, word: str) -> tuple[str, tuple[str, ...]]:
        """The only cause that has `word`, and its examples."""
        found = [(cause, tuple(group["examples"])) for cause, group in self.report["problems"].items() if word in cause]
        assert len(found) == 1, self.report["problems"]
        return found[0]

    def indexed(self, *names: str) -> bool:
        whole = "\n".join(self.texts)
        return all(f"{name}(int value) {{" in whole for name in names)


def index(tmp_path: Path, *arguments: str, path: str | None = None) -> Run:
    """Run the command with a base folder of its own. path: PATH instead of this process's."""
    output = tmp_path / "out.jsonl"
    environment = {**os.environ, "NANOPLUG_BASE_DIR": str(tmp_path / "base"), "OMP_NUM_THREADS": "1"}
    if path is not None:
        environment["PATH"] = path
    asked = [
        "--output",
        str(output),
        "--licences",
        "any",
        "--near-duplicates",
        "0",
        "--parse-workers",
        "1",
        "--min-tokens",
        "1",
        "--json",
    ]
    command = [sys.executable, "-m", "nanoplug", "data", "index", *arguments, *asked]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    report = json.loads(done.stdout) if done.stdout.strip() else {}
    lines = output.read_text().splitlines() if output.exists() else []
    return Run(done.returncode, report, done.stderr, tuple(json.loads(line)["text"] for line in lines))


def project(folder: Path, **files: str | bytes) -> Path:
    """A project with one good source, and `files` (`_` in a name stands for the dot)."""
    folder.mkdir(parents=True)
    (folder / "good.cc").write_text(GOOD.format(number=1))
    for name, content in files.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def database(root: Path, *entries: tuple[str, str]) -> None:
    """compile_commands.json with (file, flags)."""
    rows = [
        {"directory": str(root), "file": name, "command": f"g++ {flags} -c {name} -o {name}.o"}
        for name, flags in entries
    ]
    (root / "compile_commands.json").write_text(json.dumps(rows))


def test_compile_database_of_another_time(tmp_path: Path) -> None:
    root = project(tmp_path / "p", b_cc=GOOD.format(number=2).replace("add_one", "add_two"))
    database(root, ("good.cc", "-fno-such-flag --mystery=7 -std=c++17"), ("gone.cc", "-O2"), ("b.cc", "-O2"))
    run = index(tmp_path, "--project-dir", str(root))
    assert run.code == 0, run.stderr
    _, examples = run.problem("not there")
    assert any("gone.cc" in example for example in examples)
    run.problem("unknown to clang: -fno-such-flag")
    run.problem("unknown to clang: --mystery=7")
    assert run.indexed("add_one", "twice_1", "add_two", "twice_2")


def test_broken_links(tmp_path: Path) -> None:
    broken = tmp_path / "projects" / "broken"
    broken.mkdir(parents=True)
    for name in ("a.cc", "b.h"):
        (broken / name).symlink_to(tmp_path / "nowhere" / name)
    alone = index(tmp_path, "--project-dir", str(broken))
    assert alone.code == 1
    assert "broken link" in alone.stderr
    project(tmp_path / "projects" / "fine")
    beside = index(tmp_path, "--projects-dir", str(tmp_path / "projects"))
    assert beside.code == 3
    assert "broken" in json.dumps(beside.report["failures"])
    assert beside.indexed("add_one", "twice_1")


def test_huge_file(tmp_path: Path) -> None:
    root = project(tmp_path / "p")
    with (root / "huge.cc").open("wb") as file:
        file.write(b"int huge;\n")
        file.truncate(100 << 20)
    run = index(tmp_path, "--project-dir", str(root))
    assert run.code == 0, run.stderr
    cause, examples = run.problem("larger than")
    assert "500,000" in cause
    assert any("huge.cc" in example and "104,857,600" in example for example in examples)
    assert run.indexed("add_one", "twice_1")


def test_header_cycle(tmp_path: Path) -> None:
    guarded = (
        '#pragma once\n#include "{other}.h"\ninline int of_{name}(int value) {{\n  return value * value + 3;\n}}\n'
    )
    root = project(
        tmp_path / "p",
        a_h=guarded.format(name="a", other="b"),
        b_h=guarded.format(name="b", other="a"),
        c_h='#include "d.h"\nint declared_in_c(int value);\n',
        d_h='#include "c.h"\nint declared_in_d(int value);\n',
        uses_cc='#include "a.h"\nint use_both(int value) {\n  return of_a(value) + of_b(value);\n}\n',
        endless_cc='#include "c.h"\nint use_endless(int value) {\n  return value + value * 2;\n}\n',
    )
    run = index(tmp_path, "--project-dir", str(root))
    assert run.code == 0, run.stderr
    named = json.dumps(run.report["problems"])
    assert "nested too deeply" in named
    assert run.indexed("add_one", "twice_1", "of_a", "of_b", "use_both", "use_endless")


def test_nul_bytes(tmp_path: Path) -> None:
    root = project(tmp_path / "p", nul_cc=b"int with_nul(int value) {\n  return value;\0\n}\n")
    run = index(tmp_path, "--project-dir", str(root))
    assert run.code == 0, run.stderr
    _, examples = run.problem("NUL")
    assert any("nul.cc" in example for example in examples)
    assert run.indexed("add_one", "twice_1")
    assert not any("\0" in text for text in run.texts)


def test_no_compiler(tmp_path: Path) -> None:
    root = project(tmp_path / "p", s_cc="#include <string>\nint length(int value) {\n  return value + 1000;\n}\n")
    run = index(tmp_path, "--project-dir", str(root), path=str(tmp_path))
    assert run.code == 0, run.stderr
    named = json.dumps(run.report["problems"])
    assert "g++" in named
    assert run.indexed("add_one", "twice_1", "length")


def test_crash_of_clang_costs_its_file(tmp_path: Path) -> None:
    terms = "+1" * 120_000
    root = project(tmp_path / "p", deep_cc=f"int deep(int value) {{\n  return value{terms};\n}}\n")
    run = index(tmp_path, "--project-dir", str(root))
    assert run.code == 0, run.stderr
    assert "deep.cc" in json.dumps(run.report["problems"])
    assert run.indexed("add_one", "twice_1")


def test_not_a_project(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    run = index(tmp_path, "--project-dir", str(empty))
    assert run.code == 1
    assert "empty" in run.stderr
    assert "Traceback" not in run.stderr
