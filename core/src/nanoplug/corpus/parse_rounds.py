"""Parses files in batches, and those that did badly in their batch again in smaller ones, at last each alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from nanoplug.corpus.index_cache import Entry, IndexCache
from nanoplug.corpus.parse_pool import ParsePool
from nanoplug.corpus.parse_unit import Unit, UnitFacts, reached
from nanoplug.corpus.unit_plan import HEADERS_PER_SOURCE, ROUNDS, Task, batches, unit_of

UNIT_LIMIT_S = 120.0
FILE_LIMIT_S = 15.0


def limit_s(unit: Unit) -> float:
    """How long a unit may take before its worker is killed."""
    return UNIT_LIMIT_S + FILE_LIMIT_S * len(unit.files)


class ParseRounds:
    """toolchain: what identifies the parser. on_done: called with the number of tasks that came to an end.

    prepare: decides who may share a batch (`UnitPlan.with_company`).
    """

    def __init__(
        self,
        pool: ParsePool,
        cache: IndexCache,
        toolchain: str,
        on_done: Callable[[int], None],
        prepare: Callable[[Sequence[Task]], list[Task]],
        sizes: Sequence[int] = ROUNDS,
    ) -> None:
        self._pool = pool
        self._cache = cache
        self._toolchain = toolchain
        self._on_done = on_done
        self._prepare = prepare
        self._sizes = (*(size for size in sizes if size > 1), 1)

    def parse(self, tasks: Sequence[Task], headers: bool = False) -> dict[str, Entry]:
        """The entry of each task, by its key; errors that a file has only in company are not among them.

        headers: they are larger batches, and what follows an error in one is taken as it is: headers are written to
        follow others, and share too much to be parsed again for each that is at odds with another.
        """
        scale = HEADERS_PER_SOURCE if headers else 1
        done: dict[str, Entry] = {}
        waiting: list[Task] = []
        for task in tasks:
            entry = self._cache.valid(self.key(task))
            if entry is None:
                waiting.append(task)
            else:
                done[entry.key] = entry
        self._on_done(len(done))
        waiting = self._prepare(waiting)
        # How often each failed in its batch; bad luck counts half.
        level = {self.key(task): 0.0 for task in waiting}
        while waiting:
            made = [
                batch
                for number, size in enumerate(self._sizes)
                for batch in batches(
                    [task for task in waiting if int(level[self.key(task)]) == number], size * scale if size > 1 else 1
                )
            ]
            failed: list[list[Task]] = [[] for _ in made]

            def take(number: int, answer: UnitFacts | str, made: Any = made, failed: Any = failed) -> None:
                entries, bad, unlucky = self._judge(made[number], answer, headers)
                failed[number] = [*bad, *unlucky]
                for task in failed[number]:
                    level[self.key(task)] += 1 if task in bad else 0.5
                done.update((entry.key, entry) for entry in entries)
                self._on_done(len(entries))

            self._pool.parse([unit_of(batch) for batch in made], take)
            waiting = [task for again in failed for task in again]
        return done

    def _judge(
        self, batch: Sequence[Task], answer: UnitFacts | str, headers: bool
    ) -> tuple[list[Entry], Sequence[Task], Sequence[Task]]:
        """Entries of the batch's files, the tasks that may do better in other company, and those that had bad luck.

        What an error leaves behind may change the meaning of all that comes later in the batch, without a word.
        """
        if isinstance(answer, str):
            if len(batch) > 1:
                return [], batch, []
            entry = self._entry(batch[0], UnitFacts(errors={batch[0].file.name: [["failed", answer]]}))
            return [entry], [], []
        wrong = [task.file.name in answer.errors for task in batch]
        first = wrong.index(True) if len(batch) > 1 and True in wrong else len(batch)
        bad = [task for task in batch[first:] if _may_do_better(answer.errors.get(task.file.name, []))]
        after = zip(batch[first:], wrong[first:], strict=True)
        unlucky = [] if headers else [task for task, is_wrong in after if not is_wrong]
        entries = [self._entry(task, answer) for task in batch if task not in bad and task not in unlucky]
        self._cache.blobs.update(answer.blobs)
        # A header that was not found may be there the next time.
        kept = [entry for entry in entries if not any(kind == "missing" for kind, _ in entry.errors)]
        if kept:
            self._cache.add(kept, answer)
        return entries, bad, unlucky

    def _entry(self, task: Task, answer: UnitFacts) -> Entry:
        name = task.file.name
        facts = {file: answer.facts[file] for file in sorted(reached(name, answer.includes)) if file in answer.facts}
        contents = {file: self._cache.contents[file] for file in facts}
        return Entry(
            key=self.key(task),
            file=name,
            facts=facts,
            contents={name: task.file.sha256, **contents},
            errors=answer.errors.get(name, []),
            flags=answer.flags,
        )

    def key(self, task: Task) -> str:
        """Names a task's content and arguments, and the parser."""
        parts = [self._toolchain, task.file.name, task.file.sha256, task.language, *task.arguments]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()


def _may_do_better(errors: Sequence[Sequence[str]]) -> bool:
    """Whether a file can lose its errors in other company; a missing header stays missing."""
    return bool(errors) and not any(kind == "missing" for kind, _ in errors)
