from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from nanoplug.conformance.tokenizer_reference import ReferenceTokenizer
from nanoplug.data.rendering import PlainRendering
from nanoplug.data.shards import open_shard
from nanoplug.data.tasks import RenderText, Task
from nanoplug.errors import DataError

MakeShards = Callable[..., list[Path]]


def test_the_rows_of_a_task_are_rendered(
    texts: list[str], make_shards: MakeShards, tokenizer: ReferenceTokenizer
) -> None:
    (path,) = make_shards(texts, shards=1)
    render = RenderText(PlainRendering(tokenizer), row_tokens=6, threads=1)
    pieces = render(Task(path, 2, 0, 2, [3, 1]))
    found = [tokenizer.decode([id for part in parts for id in part[1:].tolist()]) for parts in pieces]
    assert found == [texts[2 * 4 + 3], texts[2 * 4 + 1]]
    assert all(len(part) <= 6 for parts in pieces for part in parts)


def test_rows_that_are_not_there(texts: list[str], make_shards: MakeShards, tokenizer: ReferenceTokenizer) -> None:
    (path,) = make_shards(texts, shards=1)
    assert open_shard(path).group_documents[0] == 4
    render = RenderText(PlainRendering(tokenizer), row_tokens=None, threads=1)
    with pytest.raises(DataError, match="row group 0 has 4 rows, not 5"):
        render(Task(path, 0, 0, 0, range(3, 5)))
