"""Compiles a completion with its test and runs it: did it compile, did it pass, and if not, why."""

from __future__ import annotations

import re
import shutil
import signal
import tempfile
from pathlib import Path

from attrs import frozen

from nanoplug.errors import NanoplugError
from nanoplug.evaluation.cpp_problems import Problem
from nanoplug.evaluation.cut import cut
from nanoplug.evaluation.sandbox import Limits, Ran, Sandbox

COMPILE_LIMITS = Limits(memory_bytes=2 << 30, processes=32, file_bytes=64 << 20, scratch_bytes=256 << 20)
RUN_LIMITS = Limits()

_OPENSSL = re.compile(r"#\s*include\s*[<\"]openssl/")
_MISSING_HEADER = re.compile(r"fatal error: (\S+): No such file")
_MISSING_LIBRARY = re.compile(r"cannot find (-l\S+?):?(?:\s|$)")


@frozen(kw_only=True)
class Verdict:
    """cause: `passed`, or in a few words what went wrong. detail: the beginning of stderr of g++ or the program."""

    compiled: bool
    passed: bool
    cause: str
    detail: str = ""


class Judge:
    """Judges completions with g++ -std=c++17 -O1: at most 10 s to compile and 10 s to run, in a sandbox.

    isolated: see `Sandbox`. Raises NanoplugError without g++, SandboxError without isolation.
    """

    def __init__(self, *, isolated: bool = True) -> None:
        compiler = shutil.which("g++")
        if compiler is None:
            raise NanoplugError("C++ evaluation needs g++, which is not on PATH.", todo="Install g++ (GCC 7 or later).")
        self.compiler = compiler
        prefix = Path(compiler).resolve().parent.parent
        self.sandbox = Sandbox(isolated=isolated, read_only=[] if prefix == Path("/usr") else [prefix])

    def judge(self, problem: Problem, completion: str) -> Verdict:
        """Judge `completion` up to the brace that closes the prompt's code. Safe to call from several threads."""
        program = f"{problem.prompt}{cut(problem.prompt, completion)}\n\n{problem.test}"
        command = [self.compiler, "-std=c++17", "-O1", "-o", "program", "program.cpp"]
        if _OPENSSL.search(program):
            command.append("-lcrypto")
        with tempfile.TemporaryDirectory(prefix="nanoplug-") as name:
            folder = Path(name)
            (folder / "program.cpp").write_text(program, encoding="utf-8", errors="replace")
            made = self.sandbox.run(command, folder, limits=COMPILE_LIMITS, writable=True)
            if not made.ok:
                return Verdict(compiled=False, passed=False, cause=_compile_cause(made), detail=made.stderr)
            ran = self.sandbox.run(["./program"], folder, limits=RUN_LIMITS)
        return Verdict(compiled=True, passed=ran.ok, cause="passed" if ran.ok else _run_cause(ran), detail=ran.stderr)


def _compile_cause(ran: Ran) -> str:
    if ran.timed_out:
        return "compile time limit"
    if header := _MISSING_HEADER.search(ran.stderr):
        return f"missing header {header[1]}"
    if library := _MISSING_LIBRARY.search(ran.stderr):
        return f"missing library {library[1]}"
    return "compile error"


def _run_cause(ran: Ran) -> str:
    if ran.timed_out or ran.signal == signal.SIGXCPU:
        return "run time limit"
    if ran.signal is None:
        return f"exit code {ran.exit_code}"
    named = {int(each): each.name for each in signal.Signals}
    return f"killed by {named.get(ran.signal, f'signal {ran.signal}')}"
