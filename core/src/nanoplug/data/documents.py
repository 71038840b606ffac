"""The documents of one rank as tokens, epoch after epoch, from any position on."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import groupby

from attrs import evolve

from nanoplug.data.deal import Deal, Position, require_share
from nanoplug.data.packing import Packable, Ref, pieces
from nanoplug.data.processes import RenderProcesses
from nanoplug.data.source import Source
from nanoplug.data.tasks import Pieces, RenderText, Task
from nanoplug.data.token_shards import TokenShard
from nanoplug.errors import ContractError, DataError


class DocumentStream:
    """Gives this rank's documents without end, in the order of `deal`.

    render: of texts. row_tokens: documents longer than this come in pieces (`packing.pieces`); None leaves them whole.
    batch_documents: rendered together at most; it does not change what comes. processes: that render ahead, as `render`
    would. Shards of tokens need neither.
    """

    def __init__(
        self,
        source: Source,
        deal: Deal,
        render: RenderText,
        *,
        row_tokens: int | None,
        batch_documents: int,
        processes: RenderProcesses | None = None,
    ) -> None:
        if batch_documents < 1:
            raise ContractError(f"tokenizer_batch is {batch_documents}; it must be at least 1.")
        if source.ended:
            require_share(source, deal.rank, deal.world_size)
        self._source, self._deal, self._render = source, deal, render
        self._row_tokens, self._batch = row_tokens, batch_documents
        self._processes = processes
        self._sent: deque[tuple[Task, Position]] = deque()
        self._ready: deque[tuple[Packable, Position]] = deque()
        self.position = self._planned = deal.start()

    def next(self) -> Packable:
        """The document at `position`, which then moves on. Waits while a stream has none."""
        while not self._ready:
            self._read_on()
        document, self.position = self._ready.popleft()
        return document

    def seek(self, position: Position) -> None:
        """Go to a position that this stream had. Raises DataError if there is no such place."""
        if not 0 <= position.group <= self._source.groups or min(position.epoch, position.row, position.piece) < 0:
            raise DataError(f"{position} is no place in the training shards.")
        if self._processes is not None:
            self._processes.drop()
        self._sent.clear()
        self._ready.clear()
        self.position = self._planned = position

    def fetch(self, refs: Sequence[Ref]) -> list[Packable]:
        """The documents that `refs` name, read and rendered again."""
        found: dict[Ref, Packable] = {}
        for (epoch, group), of_group in groupby(sorted(set(refs)), key=lambda ref: ref[:2]):
            rows = sorted({row for _, _, row, _ in of_group})
            count = self._source.documents_in(group)
            if not 0 <= rows[0] <= rows[-1] < count:
                raise DataError(f"row {rows[-1]} is not in row group {group}, which has {count}.")
            task = self._task(epoch, group, rows)
            for document in _packables(task, self._rendered(task)):
                found[document.ref] = document
        try:
            return [found[ref] for ref in refs]
        except KeyError as error:
            raise DataError(f"piece {error.args[0]} is not in the training shards.") from None

    def _read_on(self) -> None:
        """Make the next documents of one row group ready, or wait."""
        self._source.look()
        if self._processes is None:
            planned = self._plan()
            if planned is None:
                self._source.wait()
                return
            self._make_ready(*planned, self._rendered(planned[0]))
            return
        while self._processes.has_room and (planned := self._plan()) is not None:
            task, start = planned
            if not self._is_tokens(task):
                self._processes.submit(task)
            self._sent.append((task, start))
        if not self._sent:
            self._source.wait()
            return
        task, start = self._sent.popleft()
        self._make_ready(task, start, self._rendered(task) if self._is_tokens(task) else self._processes.receive())

    def _plan(self) -> tuple[Task, Position] | None:
        """The next documents to read and where among them to start; None while a stream has no more."""
        while True:
            start = self._deal.next(self._planned)
            if start is None:
                if not self._source.ended:
                    return None
                if self._deal.has_standard(self._planned.epoch):
                    require_share(self._source, self._deal.rank, self._deal.world_size)
                self._planned = Position(self._planned.epoch + 1)
                continue
            documents = self._source.documents_in(start.group)
            if start.row >= documents:
                self._planned = Position(start.epoch, start.group + 1)
                continue
            rows = range(start.row, min(start.row + self._batch, documents))
            self._planned = Position(start.epoch, start.group, rows.stop)
            return self._task(start.epoch, start.group, rows), start

    def _make_ready(self, task: Task, start: Position, rendered: Pieces) -> None:
        documents = [
            document for document in _packables(task, rendered) if document.ref[2:] >= (start.row, start.piece)
        ]
        end = evolve(start, row=task.rows[-1] + 1, piece=0)
        for document, after in zip(documents, [*documents[1:], None], strict=True):
            self._ready.append((document, end if after is None else Position(*after.ref)))

    def _task(self, epoch: int, group: int, rows: Sequence[int]) -> Task:
        shard, index = self._source.shard_of(group)
        return Task(shard.path, index, epoch, group, rows)

    def _is_tokens(self, task: Task) -> bool:
        return isinstance(self._source.shard_of(task.group)[0], TokenShard)

    def _rendered(self, task: Task) -> Pieces:
        shard, _ = self._source.shard_of(task.group)
        if not isinstance(shard, TokenShard):
            return self._render(task)
        whole = shard.documents(task.index, task.rows)
        if self._row_tokens is None:
            return [[ids] for ids in whole]
        return [pieces(ids, self._row_tokens) for ids in whole]


def _packables(task: Task, rendered: Pieces) -> list[Packable]:
    return [
        Packable((task.epoch, task.group, row, number), ids)
        for row, parts in zip(task.rows, rendered, strict=True)
        for number, ids in enumerate(parts)
    ]
