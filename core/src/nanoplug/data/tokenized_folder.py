"""A folder of token shards made from a folder of text, and the manifest that says by which tokenizer."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from attrs import frozen

from nanoplug.contracts import Tokenizer
from nanoplug.data.made_folder import made_folder
from nanoplug.data.processes import RenderProcesses
from nanoplug.data.rendering import PlainRendering, bos_id
from nanoplug.data.shards import TEXT_SUFFIX, TOKENS_SUFFIX, TextShard, list_shards, open_shards
from nanoplug.data.shards import open_shard as open_text_shard
from nanoplug.data.tasks import Pieces, RenderText, Task
from nanoplug.data.token_shards import TokenShard, TokenShardWriter, ids_dtype, open_by_bos, open_indexed
from nanoplug.errors import DataError

MANIFEST_NAME = "tokens.json"
_FORMAT = 1
_AGAIN = "Make it again by `nanoplug data tokenize`, or name another folder."
_TASK_DOCUMENTS = 128


@frozen(kw_only=True)
class StatedShard:
    """source: the text shard that it was made from. sha256: of ids and offsets."""

    name: str
    source: str
    documents: int
    tokens: int
    groups: int
    sha256: str


@frozen(kw_only=True)
class TokenManifest:
    """tokenizer: its fingerprint. source: digest of the text shards. dtype: of the ids, as numpy writes it."""

    tokenizer: str
    vocab_size: int
    dtype: str
    source: str
    shards: tuple[StatedShard, ...]


def tokenize_folder(
    data: Path,
    out: Path,
    tokenizer: Tokenizer,
    *,
    processes: RenderProcesses | None = None,
    threads: int = 1,
    rebuild: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> TokenManifest:
    """Make the folder `out`, whole or not at all: for each text shard of `data` one of tokens, of the same name.

    Row groups stay what they are, so that training reads the same rows from either. processes: that render plainly with
    this tokenizer; without them `threads` of this process do it, and what is written is the same. rebuild: replace a
    folder that was made here. on_progress: hears of documents done, and of all.
    """
    paths = list_shards(data)
    shards = [_text_shard(path) for path in paths]
    source = open_shards(paths).digest
    total, done = sum(sum(shard.group_documents) for shard in shards), 0
    stated: list[StatedShard] = []
    render = RenderText(PlainRendering(tokenizer), row_tokens=None, threads=threads)
    with made_folder(out, mark=MANIFEST_NAME, rebuild=rebuild) as folder:
        results = _in_order(list(_tasks(shards)), render, processes)
        for shard in shards:
            with TokenShardWriter(folder / f"{shard.path.stem}{TOKENS_SUFFIX}", tokenizer.vocab_size) as writer:
                for documents in shard.group_documents:
                    for _ in range(0, documents, _TASK_DOCUMENTS):
                        whole = [piece for (piece,) in next(results)]
                        writer.add([len(ids) for ids in whole], np.concatenate(whole))
                        done += len(whole)
                        if on_progress:
                            on_progress(done, total)
                    writer.end_group()
            stated.append(
                StatedShard(
                    name=writer.path.name,
                    source=shard.path.name,
                    documents=writer.documents,
                    tokens=writer.tokens,
                    groups=writer.groups,
                    sha256=writer.sha256,
                )
            )
        manifest = TokenManifest(
            tokenizer=tokenizer.fingerprint,
            vocab_size=tokenizer.vocab_size,
            dtype=ids_dtype(tokenizer.vocab_size).str,
            source=source,
            shards=tuple(stated),
        )
        content = {"format": _FORMAT, **attrs.asdict(manifest)}
        (folder / MANIFEST_NAME).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return manifest


def read_manifest(folder: Path) -> TokenManifest | None:
    """What `tokenize_folder` wrote about `folder`, or None if it did not make that folder."""
    path = folder / MANIFEST_NAME
    try:
        content: Any = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}.", todo=_AGAIN) from error
    try:
        if content.pop("format") != _FORMAT:
            raise KeyError("format")
        shards = tuple(StatedShard(**shard) for shard in content.pop("shards"))
        return TokenManifest(shards=shards, **content)
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a manifest of format {_FORMAT}: {error}.", todo=_AGAIN) from None


class OpenShard:
    """Opens shards for one tokenizer: `open(path)`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._manifests: dict[Path, tuple[dict[str, StatedShard], TokenManifest | None]] = {}

    def __call__(self, path: Path) -> TextShard | TokenShard:
        """The shard at `path`, of text or, if its name ends in .bin, of tokens.

        Raises DataError if it is damaged, or its tokens are not those of the tokenizer.
        """
        if path.suffix != TOKENS_SUFFIX:
            return open_text_shard(path)
        tokenizer, folder = self._tokenizer, path.parent
        stated, manifest = self._stated(path)
        if manifest is None:
            return open_by_bos(path, vocab_size=tokenizer.vocab_size, bos=bos_id(tokenizer))
        if manifest.tokenizer != tokenizer.fingerprint:
            raise DataError(
                f"{folder} was tokenized with another tokenizer: {manifest.vocab_size:,} tokens, fingerprint"
                f" {manifest.tokenizer[:12]}; this one has {tokenizer.vocab_size:,}, {tokenizer.fingerprint[:12]}.",
                todo="Give the --tokenizer-dir that it was made with, or tokenize the text again.",
            )
        if stated is None:
            raise DataError(f"{path} is not in {MANIFEST_NAME} beside it.", todo=_AGAIN)
        shard = open_indexed(path, vocab_size=tokenizer.vocab_size, digest=stated.sha256)
        if (shard.tokens, sum(shard.group_documents)) != (stated.tokens, stated.documents):
            raise DataError(f"{path} is not what {MANIFEST_NAME} beside it states.", todo=_AGAIN)
        return shard

    def _stated(self, path: Path) -> tuple[StatedShard | None, TokenManifest | None]:
        """What the manifest states of `path`; it is read again for a name that it did not have."""
        stated, manifest = self._manifests.get(path.parent, ({}, None))
        if path.name not in stated:
            manifest = read_manifest(path.parent)
            stated = {shard.name: shard for shard in manifest.shards} if manifest else {}
            self._manifests[path.parent] = stated, manifest
        return stated.get(path.name), manifest


def _text_shard(path: Path) -> TextShard:
    if path.suffix != TEXT_SUFFIX:
        raise DataError(f"{path} holds tokens already.", todo="Name the folder of text that it was made from.")
    return open_text_shard(path)


def _tasks(shards: Sequence[TextShard]) -> Iterator[Task]:
    for shard in shards:
        for index, documents in enumerate(shard.group_documents):
            for start in range(0, documents, _TASK_DOCUMENTS):
                yield Task(shard.path, index, 0, index, range(start, min(start + _TASK_DOCUMENTS, documents)))


def _in_order(tasks: Sequence[Task], render: RenderText, processes: RenderProcesses | None) -> Iterator[Pieces]:
    if processes is None:
        yield from map(render, tasks)
        return
    waiting = deque(tasks)
    while waiting or processes.pending:
        while waiting and processes.has_room:
            processes.submit(waiting.popleft())
        yield processes.receive()
