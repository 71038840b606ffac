"""Recall and precision of the indexer's definitions and call edges, against clang's own AST dump of the same project.

    python benchmarks/indexer_truth.py /path/to/leveldb --compile-database /path/to/compile_commands.json

What is counted and what is not is said in project_truth.py. A precision counts only what lies in files that clang has
seen; a template that no translation unit instantiates proves neither right nor wrong what it would call.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from attrs import define, field
from clang_truth import Place
from harness import RESULTS, record, table
from project_truth import ProjectTruth, TruthFunction, project_truth

from nanoplug.corpus.project_index import FUNCTION_KINDS, TYPE_KINDS, Definition, ProjectIndex

LISTED = 30


@define(slots=True)
class Score:
    """right of `wanted` were found; `wrong` are claimed and not there. Lists are for the reader of a miss."""

    what: str
    wanted: int = 0
    right: int = 0
    missed: list[str] = field(factory=list)
    wrong: list[str] = field(factory=list)
    neutral: Counter[str] = field(factory=Counter)

    @property
    def recall(self) -> float:
        return self.right / self.wanted if self.wanted else 1.0

    @property
    def precision(self) -> float:
        claimed = self.right + len(self.wrong)
        return self.right / claimed if claimed else 1.0


class Comparison:
    """Pairs the index's functions with clang's by file, name and place, then compares."""

    def __init__(self, truth: ProjectTruth, index: ProjectIndex, root: Path) -> None:
        self.truth, self.root = truth, root
        self.bytes = {name: (root / name).read_bytes() for name in sorted(truth.files)}
        self.functions = [one for one in index.definitions if one.kind in FUNCTION_KINDS]
        self.types = [one for one in index.definitions if one.kind in TYPE_KINDS]
        self.by_file: dict[str, list[tuple[Place, TruthFunction]]] = {}
        for key, function in truth.functions.items():
            self.by_file.setdefault(function.file, []).append((key, function))
        self.defaulted: dict[str, list[int]] = {}
        for file, at, _ in truth.defaulted:
            self.defaulted.setdefault(file, []).append(at)
        self.paired: dict[str, Place] = {}
        for one in self.functions:
            pair = self.pair(one)
            if pair is not None:
                self.paired[one.usr] = pair

    def pair(self, one: Definition) -> Place | None:
        """The function of clang's whose body begins where this one's does, else the first of its name within it."""
        within = []
        for key, function in self.by_file.get(one.file, ()):
            if function.body == one.body[0] and one.body[0] != one.end and plain(function.name) == plain(one.name):
                return key
            if one.start <= function.at < one.end and plain(function.name) == plain(one.name):
                within.append((function.at, key))
        return min(within)[1] if within else None

    def where(self, file: str, at: int, made: str = "") -> str:
        line = self.bytes[file].count(b"\n", 0, at) + 1 if file in self.bytes else 0
        return f"{file}:{line}"

    def why_not_counted(self, one: Definition) -> str:
        """Of a function of the index that clang's list lacks: why it is no mistake, or ""."""
        if one.file not in self.truth.files:
            return "in a file that no translation unit reads"
        if one.body[0] == one.end and any(one.start <= at < one.end for at in self.defaulted.get(one.file, ())):
            return "= default"
        if any(other.body < one.start < other.body_end for _, other in self.by_file.get(one.file, ())):
            return "within a function (local class or lambda)"
        return ""

    def definitions(self) -> Score:
        score = Score("definitions")
        counted = {key: clang for key, clang in self.truth.functions.items() if not clang.neutral}
        found = set(self.paired.values())
        score.wanted = len(counted)
        score.right = len(found & counted.keys())
        for key in sorted(counted.keys() - found):
            score.missed.append(f"{self.where(*key)} {counted[key].kind} {counted[key].name}")
        pairs: Counter[Place] = Counter()
        for one in self.functions:
            pair = self.paired.get(one.usr)
            if pair is not None:
                pairs[pair] += 1
                if pairs[pair] > 1:
                    score.wrong.append(f"{one.file}:{one.line} {one.name} stands twice: {one.usr}")
                continue
            why = self.why_not_counted(one)
            if why:
                score.neutral[why] += 1
            else:
                score.wrong.append(f"{one.file}:{one.line} {one.kind} {one.qualified_name} ({one.parser})")
        return score

    def type_definitions(self) -> Score:
        score = Score("types")
        by_file: dict[str, list[Definition]] = {}
        for one in self.types:
            by_file.setdefault(one.file, []).append(one)
        used, by_macro = set(), set()
        for (file, at, made), name in sorted(self.truth.types.items()):
            if file not in self.truth.files or any(f.body < at < f.body_end for _, f in self.by_file.get(file, ())):
                continue
            if made:
                by_macro.add((file, at))
                continue
            score.wanted += 1
            hits = [x for x in by_file.get(file, ()) if x.start <= at < x.end and plain(x.name) == plain(name)]
            if hits:
                score.right += 1
                used.add(max(hits, key=lambda x: x.start).usr)
            else:
                score.missed.append(f"{self.where(file, at)} {name}")
        for one in self.types:
            if one.usr in used:
                continue
            if one.file not in self.truth.files:
                score.neutral["in a file that no translation unit reads"] += 1
            elif any(f.body < one.start < f.body_end for _, f in self.by_file.get(one.file, ())):
                score.neutral["within a function"] += 1
            elif (one.file, one.start) in by_macro:
                score.neutral["made by a macro"] += 1
            elif "(unnamed" in one.name or not one.name:
                score.neutral["without a name"] += 1
            else:
                score.wrong.append(f"{one.file}:{one.line} {one.kind} {one.qualified_name} ({one.parser})")
        return score

    def edges(self) -> Score:
        score = Score("call edges")
        functions = self.truth.functions
        counted = {
            pair: kind
            for pair, kind in self.truth.edges.items()
            if not kind.startswith("not") and all(end in functions and not functions[end].neutral for end in pair)
        }
        claimed = self.claimed_edges(score)
        score.wanted = len(counted)
        score.right = len(claimed.keys() & counted.keys())
        for pair in sorted(counted.keys() - claimed.keys()):
            score.missed.append(self.edge(pair, counted[pair]))
        for pair in sorted(claimed.keys() - counted.keys()):
            why = self.why_neutral_edge(pair)
            if why:
                score.neutral[why] += 1
            else:
                score.wrong.append(self.edge(pair, ""))
        return score

    def claimed_edges(self, score: Score) -> dict[tuple[Place, Place], None]:
        """Those between paired functions; a callee that is no function of clang's and should be is wrong."""
        claimed: dict[tuple[Place, Place], None] = {}
        by_usr = {one.usr: one for one in self.functions}
        for one in self.functions:
            caller = self.paired.get(one.usr)
            for usr in one.calls:
                callee = self.paired.get(usr)
                if caller is not None and callee is not None:
                    claimed[caller, callee] = None
                elif caller is None:
                    score.neutral["caller is not paired"] += 1
                elif usr not in by_usr:
                    score.wrong.append(f"{one.file}:{one.line} {one.name} -> {usr}, which the index does not define")
                elif why := self.why_not_counted(by_usr[usr]):
                    score.neutral[f"callee {why}"] += 1
                else:
                    score.wrong.append(f"{one.file}:{one.line} {one.name} -> {usr}, which is no function of clang's")
        return claimed

    def why_neutral_edge(self, pair: tuple[Place, Place]) -> str:
        caller, callee = (self.truth.functions[end] for end in pair)
        if caller.neutral or callee.neutral:
            return "an end is not counted"
        if pair in self.truth.edges:
            return self.truth.edges[pair].removeprefix("not: ")
        if not self.truth.complete and caller.file not in self.truth.main_files:
            return "in a header, and some units were left out"
        if not caller.resolved and caller.dependent:
            return "in a template that nothing instantiates"
        return ""

    def edge(self, pair: tuple[Place, Place], kind: str) -> str:
        caller, callee = (self.truth.functions[end] for end in pair)
        mark = " [template]" if caller.dependent else ""
        return f"{self.where(*pair[0])} {caller.name} -> {callee.name} ({self.where(*pair[1])}) {kind}{mark}"

    def shifted(self) -> list[str]:
        """Paired functions whose bytes do not hold clang's: name, body's ends and what is between."""
        wrong = []
        for one in self.functions:
            key = self.paired.get(one.usr)
            if key is None or self.truth.functions[key].neutral:
                continue
            clang = self.truth.functions[key]
            body, data = (clang.body, clang.body_end), self.bytes[one.file]
            faults = []
            opening = data[one.body[0] : one.body[0] + 1], data[one.body[1] - 1 : one.body[1]]
            if opening not in ((b"{", b"}"), (b"t", b"}")):
                faults.append(f"body opens and ends with {opening}")
            if one.body != body and opening[0] == b"{":
                faults.append(f"body {one.body}, clang {body}")
            if not one.start <= clang.start or one.end < clang.body_end:
                faults.append(f"text {one.start, one.end}, clang {clang.start, clang.body_end}")
            if one.line != data.count(b"\n", 0, one.start) + 1:
                faults.append(f"line {one.line}")
            if faults:
                wrong.append(f"{self.where(*key)} {one.name}: {'; '.join(faults)}")
        return wrong


def plain(name: str) -> str:
    """A name without template arguments; conversions are all one."""
    if name.startswith("operator "):
        return "operator"
    return name if name.startswith("operator") else re.sub(r"<.*", "", name)


def report(scores: Iterable[Score], shifted: list[str]) -> None:
    for score in scores:
        for title, lines in (("missed", score.missed), ("wrong", score.wrong)):
            if lines:
                print(f"\n{score.what}, {title}: {len(lines)}, the first {min(LISTED, len(lines))}")
                print("\n".join(f"  {line}" for line in lines[:LISTED]))
        print(f"{score.what}, not counted: {dict(score.neutral)}")
    print(f"\ndefinitions whose bytes are not clang's: {len(shifted)}")
    print("\n".join(f"  {line}" for line in shifted[:LISTED]))


def rows_of(scores: Iterable[Score], shifted: list[str], common: Mapping[str, object]) -> list[dict[str, object]]:
    rows = []
    for score in scores:
        row = {**common, "what": score.what, "wanted": score.wanted, "right": score.right}
        row |= {"wrong": len(score.wrong), "recall": score.recall, "precision": score.precision}
        rows.append(row)
    rows[0]["shifted"] = len(shifted)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--compile-database", type=Path, help="default: compile_commands.json in the root")
    parser.add_argument("--clang", default="clang-19", help="the compiler that dumps")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--sample", type=int, default=0, help="units to dump, chosen at random; 0 is all")
    parser.add_argument("--truth-cache", type=Path, help="folder that keeps what was read of each dump")
    parser.add_argument("--index-cache", type=Path, help="folder for the indexer's cache")
    parser.add_argument("--misses", type=Path, help="write all misses there as JSON")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    from nanoplug.corpus.index_project import index_project

    root = given.root.resolve()
    database = (given.compile_database or root / "compile_commands.json").resolve()
    truth = project_truth(
        root, database, clang=given.clang, workers=given.workers, cache=given.truth_cache, sample=given.sample
    )
    index = index_project(root, compile_database=database, workers=given.workers, cache=given.index_cache)
    comparison = Comparison(truth, index, root)
    scores = [comparison.definitions(), comparison.edges(), comparison.type_definitions()]
    shifted = comparison.shifted()
    report(scores, shifted)
    version = subprocess.run([given.clang, "--version"], capture_output=True, text=True, check=True).stdout
    common = {"measure": "truth", "project": root.name, "units": truth.units, "units_failed": len(truth.failed)}
    common |= {"clang": version.splitlines()[0]}
    rows = [record("indexer", row, folder=given.results) for row in rows_of(scores, shifted, common)]
    if given.misses:
        misses = {score.what: {"missed": score.missed, "wrong": score.wrong} for score in scores}
        given.misses.write_text(json.dumps({**misses, "shifted": shifted, "failed": truth.failed}, indent=1) + "\n")
    print(table(rows, ("project", "what", "wanted", "right", "wrong", "recall", "precision")))


if __name__ == "__main__":
    main()
