"""Whatever happens to a tokenizer process, the reader hears of it at once, and by name.

The processes import this file, so what is slow to import is imported where it is used.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nanoplug.data.processes import RenderProcesses
from nanoplug.data.rendering import PlainRendering, Rendering
from nanoplug.data.shards import open_shard
from nanoplug.data.tasks import RenderText, Task
from nanoplug.errors import ContractError, DataError

MakeShards = Callable[..., list[Path]]


class Bytes:
    """A tokenizer of single bytes. Does `what` at the text that starts with "20:"."""

    vocab_size = 257
    special = {"<|bos|>": 256}
    bytes_per_token = (*[1] * 256, 0)
    fingerprint = "bytes"

    def __init__(self, what: str = "") -> None:
        self.what = what

    def encode_batch(self, texts: Sequence[str], *, threads: int = 1) -> list[list[int]]:
        return [self.encode(text) for text in texts]

    def encode(self, text: str) -> list[int]:
        if text.startswith("20:"):
            if self.what == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.what == "exit":
                os._exit(7)
            if self.what == "sleep":
                time.sleep(1000)
            if self.what == "raise":
                raise ZeroDivisionError("bad text")
            if self.what == "refuse":
                raise DataError("bad text.", todo="Mend it.")
        return list(text.encode())


def open_rendering(what: str = "") -> Rendering:
    if what == "open":
        raise DataError("no such tokenizer.")
    return PlainRendering(Bytes(what))  # type: ignore[arg-type]


def processes(what: str, count: int = 2) -> RenderProcesses:
    opener = partial(open_rendering, what)
    return RenderProcesses(opener, count=count, row_tokens=None, identity=open_rendering().identity)


def tasks(paths: list[Path]) -> Iterator[Task]:
    for path in paths:
        for index, documents in enumerate(open_shard(path).group_documents):
            yield Task(path, index, 0, index, range(documents))


@pytest.fixture
def all_tasks(texts: list[str], make_shards: MakeShards) -> list[Task]:
    return list(tasks(make_shards(texts)))


def test_results_come_in_order(all_tasks: list[Task]) -> None:
    render = RenderText(open_rendering(), row_tokens=None, threads=1)
    expected = [[[ids.tolist() for ids in pieces] for pieces in render(task)] for task in all_tasks]
    made = processes("", 3)
    try:
        found, waiting = [], list(all_tasks)
        while waiting or made.pending:
            while waiting and made.has_room:
                made.submit(waiting.pop(0))
            found.append([[ids.tolist() for ids in pieces] for pieces in made.receive()])
    finally:
        made.close()
    assert found == expected


def render_all(made: RenderProcesses, tasks: list[Task]) -> None:
    for task in tasks:
        made.submit(task)
        made.receive()


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("die", "was ended by SIGKILL"),
        ("exit", "ended with exit status 7"),
        ("raise", "ZeroDivisionError: bad text"),
        ("refuse", "bad text."),
        ("open", "no such tokenizer."),
    ],
)
def test_trouble_is_named(all_tasks: list[Task], what: str, said: str) -> None:
    made = processes(what)
    try:
        with pytest.raises(DataError) as caught:
            render_all(made, all_tasks)
    finally:
        made.close()
    assert said in str(caught.value)
    assert "tokenizer process" in str(caught.value)
    assert "of 2 (pid " in str(caught.value)


def test_another_tokenizer_there(all_tasks: list[Task]) -> None:
    made = RenderProcesses(open_rendering, count=1, row_tokens=None, identity={"kind": "plain", "tokenizer": "x"})
    try:
        with pytest.raises(DataError, match="opened another tokenizer"):
            made.submit(all_tasks[0])
    finally:
        made.close()


def test_close_ends_a_wait(all_tasks: list[Task]) -> None:
    made = processes("sleep", 1)
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            render_all(made, all_tasks)
        except DataError as error:
            caught.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while made.pending != 1 or not made._workers:
        time.sleep(0.05)
    time.sleep(0.2)
    made.close()
    thread.join(30)
    assert not thread.is_alive()
    assert caught
    with pytest.raises(ContractError, match="after close"):
        RenderProcesses.submit(_closed(), all_tasks[0])


def _closed() -> RenderProcesses:
    made = processes("")
    made.close()
    return made


def test_batches_do_not_depend_on_the_number_of_processes(texts: list[str], make_shards: MakeShards) -> None:
    from nanoplug.data.loader import TrainLoader

    paths = make_shards(texts)

    def batches(workers: int) -> list[Any]:
        with TrainLoader(
            paths,
            Bytes(),  # type: ignore[arg-type]
            batch_size=2,
            sequence_len=24,
            buffer_documents=6,
            tokenizer_batch=3,
            split_documents=True,
            tokenizer_workers=workers,
            open_rendering=open_rendering,
        ) as loader:
            first = [next(loader) for _ in range(12)]
            loader.load_state(first[5].state)
            again = [next(loader) for _ in range(30)]
        assert [batch.state for batch in again[:6]] == [batch.state for batch in first[6:]]
        return [batch.inputs_BT.tolist() for batch in first + again]

    alone = batches(0)
    assert batches(2) == alone


def test_tokenizing_a_folder_writes_the_same_files(tmp_path: Path, texts: list[str], make_shards: MakeShards) -> None:
    from nanoplug.data.tokenized_folder import tokenize_folder

    (text,) = {path.parent for path in make_shards(texts)}
    tokenizer: Any = Bytes()
    tokenize_folder(text, tmp_path / "one", tokenizer)
    made = processes("", 2)
    heard: list[tuple[int, int]] = []
    try:
        tokenize_folder(text, tmp_path / "two", tokenizer, processes=made, on_progress=lambda *at: heard.append(at))
    finally:
        made.close()
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert heard[-1] == (40, 40)


def test_who_takes_batches_hears_of_a_process_that_died(texts: list[str], make_shards: MakeShards) -> None:
    from nanoplug.data.loader import TrainLoader
    from nanoplug.data.prefetch import Prefetch

    loader = TrainLoader(
        make_shards(texts),
        Bytes(),  # type: ignore[arg-type]
        batch_size=1,
        sequence_len=24,
        buffer_documents=6,
        tokenizer_workers=2,
        open_rendering=partial(open_rendering, "die"),
    )
    with Prefetch(loader, stop=loader.close) as batches:
        with pytest.raises(DataError, match=r"tokenizer process \d of 2 \(pid \d+\) was ended by SIGKILL"):
            list(batches)
    processes = loader._processes
    assert processes is not None
    assert not any(process.is_alive() for process, _ in processes._workers)


def test_workers_need_an_opener(texts: list[str], make_shards: MakeShards) -> None:
    from nanoplug.data.loader import TrainLoader

    tokenizer: Any = Bytes()
    with pytest.raises(ContractError, match="tokenizer_workers is 2"):
        TrainLoader(make_shards(texts), tokenizer, batch_size=1, sequence_len=8, tokenizer_workers=2)


ORPHANS = """
import sys, time
sys.path.insert(0, {folder!r})
import test_processes as t
from pathlib import Path
if __name__ == "__main__":
    made = t.processes("", 2)
    made.submit(next(t.tasks([Path({shard!r})])))
    print(*[process.pid for process, _ in made._workers], flush=True)
    time.sleep(1000)
"""


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="asks /proc whether a process runs")
def test_processes_end_with_a_parent_that_is_killed(texts: list[str], make_shards: MakeShards, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(ORPHANS.format(folder=str(Path(__file__).parent), shard=str(make_shards(texts)[0])))
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    deadline = time.monotonic() + 20
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline, "a tokenizer process outlived its parent"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
