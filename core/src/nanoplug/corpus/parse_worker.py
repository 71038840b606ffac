"""A process that parses units: requests come by standard input, facts go back by standard output, both pickled."""

from __future__ import annotations

import os
import pickle
import struct
import sys
import threading
import traceback
from typing import Any, BinaryIO

from nanoplug.corpus.parse_unit import UnitParser

RECURSION_LIMIT = 50_000
_STACK_BYTES = 512 << 20
_LENGTH = struct.Struct("<Q")


def send(stream: BinaryIO, message: Any) -> None:
    """Write one message."""
    data = pickle.dumps(message, protocol=5)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """The next message. Raises EOFError at the end of the stream."""
    return pickle.loads(_exactly(stream, _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0]))


def _exactly(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError("the stream ended")
    return data


def main() -> None:
    """Serve until standard input ends. The first message is the arguments of `UnitParser`, each later one a unit."""
    requests = sys.stdin.buffer
    # Whatever libclang prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.setrecursionlimit(RECURSION_LIMIT)
    # Deeply nested source makes clang's visitor recurse as deeply.
    threading.stack_size(_STACK_BYTES)
    server = threading.Thread(target=_serve, args=(requests, answers))
    server.start()
    server.join()


def _serve(requests: BinaryIO, answers: BinaryIO) -> None:
    parser = UnitParser(*receive(requests))
    while True:
        try:
            unit = receive(requests)
        except EOFError:
            return
        try:
            answer: Any = parser.parse(unit)
        except Exception:
            answer = traceback.format_exc(limit=-3)
        send(answers, answer)


if __name__ == "__main__":
    main()
