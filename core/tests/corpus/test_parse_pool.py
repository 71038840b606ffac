import sys
import time
from pathlib import Path

import pytest

from nanoplug.corpus.clang_toolchain import find_toolchain
from nanoplug.corpus.parse_pool import WORKER, ParsePool
from nanoplug.corpus.parse_unit import Unit, UnitFacts

# Stands in for a worker: what it does depends on the first file of a unit.
FAKE = """
import os, sys, time
from nanoplug.corpus.parse_worker import receive, send
from nanoplug.corpus.parse_unit import UnitFacts
receive(sys.stdin.buffer)
while True:
    unit = receive(sys.stdin.buffer)
    name = unit.files[0]
    if name == "crash":
        print("stack of the crash", file=sys.stderr, flush=True)
        os._exit(7)
    if name == "hang":
        time.sleep(60)
    send(sys.stdout.buffer, UnitFacts(outside=[name]))
"""


def unit(*files: str) -> Unit:
    return Unit(files=files, language="c++", arguments=())


def results(pool: ParsePool, *units: Unit) -> dict[int, UnitFacts | str]:
    found: dict[int, UnitFacts | str] = {}
    pool.parse(units, lambda number, answer: found.update({number: answer}))
    return found


@pytest.mark.parametrize("workers", [1, 3])
def test_a_crash_or_hang_costs_its_own_unit_alone(workers: int) -> None:
    command = (sys.executable, "-c", FAKE)
    limits = {"hang": 1.0}
    with ParsePool(workers, "", {}, lambda unit: limits.get(unit.files[0], 50.0), command) as pool:
        start = time.monotonic()
        found = results(pool, *(unit(name) for name in ("a", "crash", "b", "hang", "c", "crash")))
        assert time.monotonic() - start < 40
        assert [found[i].outside for i in (0, 2, 4)] == [["a"], ["b"], ["c"]]
        assert found[1] == found[5] == "clang crashed (exit status 7): stack of the crash"
        assert found[3] == "took longer than 1 s"
        # And it goes on.
        assert results(pool, unit("d")) == {0: UnitFacts(outside=["d"])}


def test_a_worker_that_cannot_start_is_an_error() -> None:
    with ParsePool(1, "", {}, lambda unit: 9.0, ("/no/such/program",)) as pool:
        with pytest.raises(FileNotFoundError):
            results(pool, unit("a"))


def test_a_real_crash_of_clang_is_survived(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.cc", tmp_path / "bad.cc"
    good.write_text("int f() { return 1; }\n")
    bad.write_text("#pragma clang __debug crash\nint g() { return 1; }\n")
    names = {str(good): "good.cc", str(bad): "bad.cc"}
    arguments = ("-fsyntax-only", "-nostdinc")
    units = [Unit(files=(str(file),), language="c++", arguments=arguments) for file in (bad, good)]
    with ParsePool(1, str(find_toolchain().library), names, lambda unit: 60.0, WORKER) as pool:
        found = results(pool, *units)
    assert isinstance(found[1], UnitFacts)
    assert list(found[1].facts) == ["good.cc"]
    failed = found[0] if isinstance(found[0], str) else str(found[0].errors)
    assert "clang" in failed
