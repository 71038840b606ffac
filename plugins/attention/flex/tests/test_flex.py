"""What flex compiles and when, what it refuses, and which blocks it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from nanoplug_attention_flex import fused as fused_module
from nanoplug_attention_flex.attention import KEPT_BLOCK_MASKS, FlexAttention
from nanoplug_attention_flex.fused import fused
from nanoplug_attention_flex.unfused import attend_unfused
from nanoplug_attention_flex.visibility import BLOCK, Visibility
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask

from nanoplug.contracts import Mask
from nanoplug.errors import ContractError, PluginError

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


class Counting:
    """A backend for torch.compile that runs the graph operator by operator and counts how many it was given."""

    def __init__(self) -> None:
        self.graphs = 0

    def __call__(self, graph: Callable[..., Any], example_inputs: list[Any]) -> Callable[..., Any]:
        self.graphs += 1
        return graph


def inputs(tokens: int, *, heads: int = 2, head_dim: int = 16) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, tokens, n, head_dim, generator=generator) for n in (heads, 2, 2))
    return q, k, v


def dense(order: Tensor | None, counts: Tensor | None) -> Tensor:
    assert order is not None
    assert counts is not None
    listed = torch.arange(order.shape[-1]) < counts[..., None]
    return torch.zeros_like(listed).scatter(-1, order.long(), listed)


def test_one_graph_serves_every_window_and_every_length_of_as_many_blocks() -> None:
    """The trap: a constant in the mask function compiles anew for each window, until torch gives up on fusing."""
    counting = Counting()
    backend, written_out = FlexAttention(run=fused(counting)), FlexAttention(run=attend_unfused)
    with torch.no_grad():
        for tokens, window in [*((150, window) for window in range(12)), (150, -1), (200, 30), (256, 128)]:
            q, k, v = inputs(tokens)
            mask = Mask(window=window)
            got, want = (one.attend(q, k, v, mask=mask) for one in (backend, written_out))
            torch.testing.assert_close(got, want, msg=f"T {tokens}, window {window}")
        assert counting.graphs == 1
        for numbers in (torch.zeros(1, 150), torch.arange(150)[None] // 40):
            backend.attend(*inputs(150), mask=Mask(window=7, segments_BT=numbers.long()))
    assert counting.graphs == 2


def test_it_refuses_to_go_on_where_torch_would_stop_compiling(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_module, "MOST_SHAPES", 2)
    backend = FlexAttention(run=fused("eager"))
    with torch.no_grad():
        for heads in (2, 4):
            backend.attend(*inputs(20, heads=heads), mask=Mask())
        with pytest.raises(PluginError, match="compiled for 2 different shapes"):
            backend.attend(*inputs(20, heads=6), mask=Mask())


def test_it_refuses_to_run_where_compilation_is_switched_off() -> None:
    backend = FlexAttention(run=fused("eager"))
    with torch.no_grad(), torch.compiler.set_stance("force_eager"), pytest.raises(PluginError, match="unfused"):
        backend.attend(*inputs(20), mask=Mask())


def test_it_refuses_tensors_that_are_not_on_a_gpu() -> None:
    with pytest.raises(ContractError, match="CUDA"):
        FlexAttention().attend(*inputs(20), mask=Mask())


def test_it_names_the_head_sizes_that_it_serves() -> None:
    with pytest.raises(ContractError, match="multiples of 16 from 16 to 256"):
        FlexAttention(run=attend_unfused).attend(*inputs(20, head_dim=24), mask=Mask())


@pytest.mark.parametrize("window", [0, 1, 127, 128, 129, 300, 640])
@pytest.mark.parametrize("tokens, keys", [(640, 640), (128, 640), (256, 512)])
def test_its_block_masks_are_those_of_torch(tokens: int, keys: int, window: int) -> None:
    """torch looks at every place; here the ends of the blocks must say the same."""
    visibility = Visibility(causal=True, first=keys - tokens, window=window, keys=keys)
    ours = visibility.block_mask(tokens, keys, CPU, backward=True)
    torchs = create_block_mask(visibility.mask_mod(), 1, 1, tokens, keys, device="cpu")
    for name in ("kv", "full_kv", "q", "full_q"):
        order, counts = f"{name}_indices", f"{name}_num_blocks"
        want = dense(getattr(torchs, order), getattr(torchs, counts))
        assert torch.equal(dense(getattr(ours, order), getattr(ours, counts)), want), name


def test_documents_hide_whole_blocks() -> None:
    """Three documents of 256: each block of queries reads its own document's blocks, those before it whole."""
    segments = (torch.arange(6 * BLOCK) // (2 * BLOCK))[None]
    visibility = Visibility(causal=True, first=0, window=6 * BLOCK, keys=6 * BLOCK, segments_BS=segments)
    block_mask = visibility.block_mask(6 * BLOCK, 6 * BLOCK, CPU, backward=True)
    assert block_mask.kv_num_blocks.flatten().tolist() == [1] * 6
    assert block_mask.full_kv_num_blocks is not None
    assert block_mask.full_kv_num_blocks.flatten().tolist() == [0, 1] * 3


def test_a_padded_row_reads_no_document_for_its_padding() -> None:
    tokens = 5 * BLOCK + 3
    seen: list[list[int]] = []

    def run(q: Tensor, k: Tensor, v: Tensor, block_mask: Any) -> Tensor:
        seen.append(block_mask.kv_num_blocks.flatten().tolist())
        return attend_unfused(q, k, v, block_mask)

    segments = (torch.arange(tokens) // BLOCK)[None]
    FlexAttention(run=run).attend(*inputs(tokens), mask=Mask(segments_BT=segments))
    assert seen == [[1] * 6]


def test_each_row_of_a_cache_reads_only_the_blocks_that_it_holds() -> None:
    lengths = torch.tensor([5, 700, 1000], dtype=torch.int32)
    everything = Visibility(causal=True, first=lengths, window=1024, keys=1024).block_mask(1, 1024, CPU, backward=False)
    assert everything.kv_num_blocks.flatten().tolist() == [1, 6, 8]
    near = Visibility(causal=True, first=lengths, window=120, keys=1024).block_mask(1, 1024, CPU, backward=False)
    assert near.kv_num_blocks.flatten().tolist() == [1, 2, 2]


def test_kept_block_masks_are_few_and_may_serve_training_after_inference() -> None:
    backend = FlexAttention(run=attend_unfused)
    with torch.inference_mode():
        backend.attend(*inputs(20), mask=Mask(window=3))
    (kept,) = backend._block_masks.values()
    assert not kept.kv_indices.is_inference()
    for window in range(KEPT_BLOCK_MASKS + 5):
        backend.attend(*inputs(60), mask=Mask(window=window))
    assert len(backend._block_masks) == KEPT_BLOCK_MASKS


@pytest.mark.slow
def test_the_compiled_kernel_of_the_cpu_agrees_with_what_is_written_out() -> None:
    """torch's code generator, block masks included, on the one device that is always there."""
    backend, written_out = FlexAttention(run=fused()), FlexAttention(run=attend_unfused)
    q, k, v = inputs(300, heads=4)
    with torch.no_grad():
        for window in (-1, 0, 5, 128, 200):
            mask = Mask(window=window)
            torch.testing.assert_close(
                backend.attend(q, k, v, mask=mask), written_out.attend(q, k, v, mask=mask), msg=f"window {window}"
            )
