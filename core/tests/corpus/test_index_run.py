from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve

from nanoplug.corpus.engines import LocalEngine
from nanoplug.corpus.index_run import IndexReport, run_index
from nanoplug.corpus.indexed_project import ProjectJob
from nanoplug.corpus.licences import LicencePolicy
from nanoplug.corpus.open_output import opened_output
from nanoplug.corpus.project_documents import DocumentSettings
from nanoplug.corpus.project_index import Problem
from nanoplug.data.shards import open_shards, split_shards, texts_of
from nanoplug.errors import DataError

LONG = "int {}() {{ return " + " + ".join(f"value_{number}" for number in range(40)) + "; }}"


class Projects:
    """Stands in for the indexer: gives indexes made by hand, or raises."""

    def __init__(self, root: Path, hand: Any) -> None:
        self.root, self.hand = root, hand
        self.made: dict[str, Any] = {}
        self.calls: list[dict[str, Any]] = []

    def add(self, name: str, index: Any = None) -> Any:
        root = self.root / name
        root.mkdir()
        self.made[name] = made = index or self.hand(root)
        return made

    def index_project(self, root: Path, **options: Any) -> Any:
        self.calls.append({"root": root, **options})
        made = self.made[root.name]
        if isinstance(made, Exception):
            raise made
        index = made.index()
        return evolve(
            index, project=options["project"], problems=(Problem(cause="no header", file="a.cc", detail="x.h"),)
        )


@pytest.fixture
def projects(tmp_path: Path, hand: Any, monkeypatch: pytest.MonkeyPatch) -> Projects:
    (tmp_path / "sources").mkdir()
    made = Projects(tmp_path / "sources", type(hand))
    fake = SimpleNamespace(index_project=made.index_project)
    monkeypatch.setitem(sys.modules, "nanoplug.corpus.index_project", fake)
    return made


def run(projects: Projects, output: Path, *, near: float | None = 0.85, append: bool = False) -> IndexReport:
    jobs = [
        ProjectJob(
            root=projects.root / name,
            project=name,
            documents=DocumentSettings(min_tokens=0),
            licences=LicencePolicy(),
            secrets=True,
            near_duplicates=near is not None,
            pairs=True,
        )
        for name in projects.made
    ]
    with opened_output(output, append=append, force=False, val_fraction=0.3) as sink:
        return run_index(jobs, sink, LocalEngine(1), near_duplicates=near, val_fraction=0.3)


def rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_what_is_said_of_a_run(tmp_path: Path, projects: Projects) -> None:
    projects.add("p").functions("a.cc", {"f": ["g"], "g": []})
    report = run(projects, tmp_path / "out.jsonl")
    assert [(row["usr"], row["project"], row["path"]) for row in rows(tmp_path / "out.jsonl")] == [
        ("f", "p", "a.cc"),
        ("g", "p", "a.cc"),
    ]
    assert report.problems["no header"].examples == ("p/a.cc: x.h",)
    assert report.licences == {"unknown": 1}
    size = len("int f() { return 0; }")
    assert (report.source_bytes, report.document_bytes) == (2 * size, 3 * size + 4)
    written = json.loads((tmp_path / "out.data.json").read_text())
    assert written["index"]["repeats"] == round(report.repeats, 3)
    assert json.loads(json.dumps(report.to_json()))["problems"]["no header"]["count"] == 1


def test_copies_are_kept_once(tmp_path: Path, projects: Projects) -> None:
    for name in ("one", "two"):
        made = projects.add(name)
        made.functions("a.cc", {"f": []})
        made.functions("b.cc", {f"only_{name}": []})
    report = run(projects, tmp_path / "out.jsonl")
    assert [(row["project"], row["usr"]) for row in rows(tmp_path / "out.jsonl")] == [
        ("one", "f"),
        ("one", "only_one"),
        ("two", "only_two"),
    ]
    assert report.left_out == {"the same text as another document": 1}
    again = run(projects, tmp_path / "out.jsonl", append=True)
    assert again.left_out == {"the same text as another document": 4}
    assert len(rows(tmp_path / "out.jsonl")) == 3


def test_near_copies_of_roots(tmp_path: Path, projects: Projects) -> None:
    made = projects.add("p")
    made.functions("a.cc", {"one": [], "two": []}, text=LONG)
    made.functions("b.cc", {"small": ["one"], "tiny": ["one"]})
    report = run(projects, tmp_path / "out.jsonl")
    assert [row["usr"] for row in rows(tmp_path / "out.jsonl")] == ["one", "small", "tiny"]
    assert report.left_out == {"nearly the same root as another document": 1}
    assert not run(projects, tmp_path / "all.jsonl", near=None).left_out


def test_a_project_that_fails_costs_itself_alone(tmp_path: Path, projects: Projects) -> None:
    projects.add("bad", DataError("the compile database names nothing that exists."))
    projects.add("crashed", RuntimeError("boom"))
    projects.add("good").functions("a.cc", {"f": []})
    projects.add("empty")
    report = run(projects, tmp_path / "out.jsonl")
    assert report.projects == ("good",)
    assert [(failure.project, failure.cause.splitlines()[0]) for failure in report.failures] == [
        ("bad", "the compile database names nothing that exists."),
        ("crashed", "RuntimeError: boom"),
        ("empty", f"{projects.root / 'empty'}: there is no C or C++ file that could be read."),
    ]
    assert ["test_index_run.py" in failure.trace for failure in report.failures] == [False, True, False]


def test_nothing_is_written_if_all_fail(tmp_path: Path, projects: Projects) -> None:
    projects.add("bad", DataError("no."))
    for name in ("out", "out.jsonl"):
        with pytest.raises(DataError, match="none of 1 project") as caught:
            run(projects, tmp_path / name)
        assert caught.value.details == ("bad: no.",)
        assert not (tmp_path / name).exists()


def test_one_project_is_split_by_its_files(tmp_path: Path, projects: Projects) -> None:
    made = projects.add("p")
    for number in range(10):
        made.functions(f"f{number}.cc", {f"f{number}": [f"f{(number + 1) % 10}"]}, text=LONG)
    report = run(projects, tmp_path / "out", near=None)
    assert report.split_by == "file"
    train, val = (list(texts_of(open_shards(paths))) for paths in split_shards(tmp_path / "out"))
    roots = [text.rsplit("int ", 1)[1].split("(")[0] for text in val]
    assert roots
    assert not any(f"int {root}(" in text for text in train for root in roots)


def test_of_several_the_only_one_left_is_split_by_its_files(tmp_path: Path, projects: Projects) -> None:
    made = projects.add("good")
    for number in range(6):
        made.functions(f"f{number}.cc", {f"f{number}": []}, text=LONG)
    projects.add("bad", DataError("no."))
    report = run(projects, tmp_path / "out", near=None)
    assert (report.split_by, report.projects, [each.project for each in report.failures]) == (
        "file",
        ("good",),
        ["bad"],
    )
    assert report.split.train_documents + report.split.val_documents == 6


def test_several_projects_are_split_whole(tmp_path: Path, projects: Projects) -> None:
    for number in range(5):
        projects.add(f"p{number}").functions("a.cc", {f"f{number}": []})
    report = run(projects, tmp_path / "out")
    assert report.split_by == "project"
    assert 1 <= len(report.split.val_projects) <= 4


def test_one_file_cannot_be_split(tmp_path: Path, projects: Projects) -> None:
    projects.add("p").functions("a.cc", {"f": []}, text=LONG)
    with pytest.raises(DataError, match="none of 1 project") as caught:
        run(projects, tmp_path / "out")
    assert "one for training and one for validation" in caught.value.details[0]
