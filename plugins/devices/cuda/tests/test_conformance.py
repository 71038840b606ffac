"""The shipped laws, on this backend."""

from __future__ import annotations

import pytest
import torch

from nanoplug.conformance import DeviceLaws


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
class TestCuda(DeviceLaws):
    backend = "cuda"
