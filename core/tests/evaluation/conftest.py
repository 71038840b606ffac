from __future__ import annotations

import shutil

import pytest

from nanoplug.evaluation.judge import Judge
from nanoplug.evaluation.sandbox import Sandbox, SandboxError


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """An isolated sandbox; tests that need one are skipped, with the reason, where it cannot be had."""
    try:
        return Sandbox()
    except SandboxError as error:
        pytest.skip(error.message)


@pytest.fixture(scope="session")
def judge(sandbox: Sandbox) -> Judge:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not installed")
    return Judge()
