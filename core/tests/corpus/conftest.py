"""Indexes made by hand from small C++ texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from nanoplug.corpus.open_output import opened_output
from nanoplug.corpus.project_index import TYPE_KINDS, Definition, FileFacts, PreamblePart, ProjectIndex
from nanoplug.data.fim_pairs import Pair
from nanoplug.data.shards import Document


class HandProject:
    """Files in a folder, and what an indexer would say about them; texts are found in the files by what they are."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.data: dict[str, bytes] = {}
        self.definitions: list[Definition] = []
        self.preambles: dict[str, list[PreamblePart]] = {}

    def file(self, path: str, text: str | bytes) -> None:
        self.data[path] = text if isinstance(text, bytes) else text.encode()
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_bytes(self.data[path])

    def define(
        self,
        file: str,
        text: str,
        usr: str,
        *,
        kind: str = "function",
        comment: str = "",
        calls: Iterable[str] = (),
        types: Iterable[str] = (),
        scope: tuple[str, ...] = (),
        container: str = "",
    ) -> None:
        whole = self.data[file]
        comment_start = whole.index((comment + text).encode())
        start = comment_start + len(comment.encode())
        end = start + len(text.encode())
        opening = whole.find(b"{", start, end)
        has_body = kind not in TYPE_KINDS and opening >= 0
        self.definitions.append(
            Definition(
                usr=usr,
                kind=kind,
                name=usr,
                qualified_name="::".join((*scope, usr)),
                file=file,
                line=whole.count(b"\n", 0, start) + 1,
                start=start,
                end=end,
                comment_start=comment_start,
                body=(opening, end) if has_body else (end, end),
                scope=scope,
                container=container,
                calls=tuple(calls),
                types=tuple(types),
            )
        )

    def preamble(self, file: str, kind: str, text: str, scope: tuple[str, ...] = ()) -> None:
        start = self.data[file].index(text.encode())
        part = PreamblePart(kind=kind, start=start, end=start + len(text.encode()), scope=scope)
        self.preambles.setdefault(file, []).append(part)

    def functions(self, file: str, calls: dict[str, Iterable[str]], *, text: str = "int {}() {{ return 0; }}") -> None:
        """A file of functions, one for each key, that call what the value says."""
        self.file(file, "\n".join(text.format(name) for name in calls) + "\n")
        for name, called in calls.items():
            self.define(file, text.format(name), name, calls=called)

    def index(self) -> ProjectIndex:
        facts = {
            path: FileFacts(
                path=path,
                sha256=hashlib.sha256(data).hexdigest(),
                language="c++",
                parser="clang",
                preamble=tuple(self.preambles.get(path, ())),
            )
            for path, data in self.data.items()
        }
        definitions = sorted(self.definitions, key=lambda each: (each.file, each.start, each.usr))
        return ProjectIndex(project=self.root.name, files=facts, definitions=tuple(definitions))


@pytest.fixture
def hand(tmp_path: Path) -> HandProject:
    root = tmp_path / "project"
    root.mkdir()
    return HandProject(root)


class Output:
    """Documents written to a path as a run would write them. pairs: some, of the projects p0 and p1."""

    pairs = {"p0": [Pair("a", "f()", "x"), Pair("a", "f()", "x")], "p1": [Pair("b", "g()", "y")]}

    @staticmethod
    def documents(projects: int, each: int = 3) -> list[Document]:
        return [
            Document(f"f{number}.cc", f"int f{number}p{project}() {{}} // ü", f"p{project}", f"u{number}")
            for project in range(projects)
            for number in range(each)
        ]

    @staticmethod
    def write(
        path: Path, documents: list[Document], *, held_out: str = "none", pairs: Any = None, **options: Any
    ) -> Any:
        """The split, and the hashes of what was there before."""
        options = {"append": False, "force": False, "val_fraction": 0.2, **options}
        with opened_output(path, **options) as output:
            known = output.known()
            for document in documents:
                output.add(document, held_out=document.path == held_out)
            return output.finish({} if pairs is None else pairs, {"left_out": {"too short": 2}}), known


@pytest.fixture
def output() -> Output:
    return Output()
