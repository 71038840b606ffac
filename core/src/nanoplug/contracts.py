"""What the four kinds of backend do when called. Shapes are name suffixes:

B batch, T query tokens, S key tokens, H query heads, G key/value heads (H % G == 0), D head size,
E = D / 2, N rows, V vocabulary, L layers.

This module imports no torch; tensors appear in types only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from nanoplug.errors import ContractError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Reduction = Literal["mean", "sum", "none"]


@dataclass(frozen=True)
class Mask:
    """Which keys a query sees.

    causal: query t sees keys up to t. When S > T the queries are the last T of the S positions.
    window: W >= 0 lets query t see keys t-W..t (W + 1 of them); -1 is unlimited. Needs `causal`.
    segments_BT: integer tensor (B, T) of document numbers, or None; a query sees keys of its own
        document only. Needs S == T.
    """

    causal: bool = True
    window: int = -1
    segments_BT: Tensor | None = None

    def __post_init__(self) -> None:
        if self.window < -1:
            raise ContractError(f"Mask: window is {self.window}; it must be -1 (unlimited) or at least 0.")
        if self.window >= 0 and not self.causal:
            raise ContractError("Mask: a window needs causal=True; windows that look ahead are not defined.")


@dataclass
class LayerCache:
    """Keys and values of one layer, seen so far. `attend_cached` writes into it and does not advance it.

    k_BSGD, v_BSGD: (B, S, G, D), S the capacity. lengths_B: int32, tokens held per row, on the device.
    longest: the largest of `lengths_B`, known on the host, so that overflow is found without a
        synchronisation. uniform: the host knows that all rows hold `longest` tokens.
    """

    k_BSGD: Tensor
    v_BSGD: Tensor
    lengths_B: Tensor
    longest: int
    uniform: bool


@runtime_checkable
class Attention(Protocol):
    """Scores are scaled by D ** -0.5. Outputs have the dtype of q. No NaN for any legal input."""

    def attend(self, q_BTHD: Tensor, k_BSGD: Tensor, v_BSGD: Tensor, *, mask: Mask) -> Tensor:
        """(B, T, H, D) from q (B, T, H, D) and k, v (B, S, G, D), S >= T. Differentiable if declared."""
        ...

    def attend_cached(self, q_BTHD: Tensor, k_BTGD: Tensor, v_BTGD: Tensor, cache: LayerCache, *, mask: Mask) -> Tensor:
        """(B, T, H, D). Writes the T new keys of row b at [len_b, len_b + T); its query t sits at len_b + t.

        Raises ContractError before any write if `cache.longest + T` exceeds the capacity. Causal masks only.
        """
        ...


class Kernel(Protocol):
    """Pure functions. A backend has those that its spec names; losses are computed and returned in fp32."""

    def linear_cross_entropy(
        self,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """Cross entropy of softcap * tanh(hidden @ weight.T / softcap) against int64 targets, in nats.

        `mean` is the sum over rows with target != ignore_index over their count, and 0 with zero gradient
        if there are none; `none` gives (N,) with 0 at ignored rows.
        """
        ...

    def cross_entropy(
        self,
        logits_NV: Tensor,
        targets_N: Tensor,
        *,
        softcap: float | None = None,
        ignore_index: int = -1,
        reduction: Reduction = "mean",
    ) -> Tensor:
        """The same from logits (N, V)."""
        ...

    def rms_norm(self, x: Tensor, *, eps: float) -> Tensor:
        """x / sqrt(mean(x^2) + eps) over the last axis, accumulated in fp32, in the dtype of x."""
        ...

    def rotary(self, x_BTHD: Tensor, cos_BTE: Tensor, sin_BTE: Tensor) -> Tensor:
        """Rotate halves: y1 = x1*cos + x2*sin, y2 = x2*cos - x1*sin. cos and sin are fp32, (1 or B, T, E)."""
        ...


class Tokenizer(Protocol):
    """A trained tokenizer. Text never yields special ids; only `special` does."""

    vocab_size: int
    special: Mapping[str, int]
    bytes_per_token: Sequence[int]
    """UTF-8 bytes of each id, 0 for special ids; length `vocab_size`."""
    fingerprint: str
    """SHA-256 hex digest of everything that decides ids."""

    def encode(self, text: str | bytes) -> list[int]: ...

    def encode_batch(self, texts: Sequence[str | bytes], *, threads: int = 4) -> list[list[int]]: ...

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, bytes that are not UTF-8 replaced; raises ContractError on an id out of range."""
        ...

    def decode_bytes(self, ids: Sequence[int]) -> bytes: ...

    def save(self, folder: Path) -> None:
        """Write the files that `TokenizerFactory.load` reads; each whole or not at all."""
        ...


class TokenizerFactory(Protocol):
    """What a tokenizer plugin loads as: trains new tokenizers of its family and opens saved ones."""

    def train(self, texts: Iterable[str], *, vocab_size: int) -> Tokenizer: ...

    def load(self, folder: Path) -> Tokenizer: ...


class Device(Protocol):
    """Where tensors live and how a step runs there. One object for each process."""

    type: str
    """`torch.device` type."""
    name: str
    """Product name, such as `NVIDIA H200`."""
    torch_device: torch.device
    rank: int
    world_size: int

    def compute_dtype(self, name: str) -> torch.dtype:
        """The dtype of activations for `auto`, `bf16`, `fp16` or `fp32`; ContractError if not served here.

        Master weights and optimizer state are fp32 whatever it is.
        """
        ...

    def seed(self, seed: int) -> None: ...

    def rng_state(self) -> dict[str, Tensor]:
        """Every random state that this process uses, as CPU uint8 tensors by name."""
        ...

    def set_rng_state(self, state: Mapping[str, Tensor]) -> None: ...

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`torch.compile` with static shapes, or the function itself where that is not used."""
        ...

    def compiles_by_default(self) -> bool: ...

    def step(self) -> AbstractContextManager[None]:
        """Wraps one micro-batch's forward and backward."""
        ...

    def checkpointed(self, function: Callable[..., Any], *args: Any) -> Any:
        """Call `function(*args)` saving only its inputs; it is run again in backward."""
        ...

    def put(self, tensor: Tensor) -> Tensor:
        """Copy a CPU tensor to this device, asynchronously where the device can; the source may be reused."""
        ...

    def reduce_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Average gradients over ranks, in place. Nothing to do for one process."""
        ...

    def sum_over_ranks(self, tensor: Tensor) -> Tensor: ...

    def agree(self, text: str, what: str) -> None:
        """Raise on every rank, naming the first that differs, unless `text` is the same on all ranks."""
        ...

    def synchronize(self) -> None: ...

    def peak_memory_bytes(self) -> int:
        """Most bytes in use since the last `reset_peak_memory`."""
        ...

    def reset_peak_memory(self) -> None: ...

    def peak_flops(self, dtype: torch.dtype) -> float | None:
        """Dense FLOP/s of this exact device by its datasheet, or None when it is not known."""
        ...

    def close(self) -> None: ...


def check_attention(
    backend: str, q: Tensor, k: Tensor, v: Tensor, mask: Mask, *, dtypes: Iterable[str], cached: bool = False
) -> None:
    """Raise ContractError unless shapes, dtypes and mask fit the contract. For backends to call first."""
    if q.ndim != 4 or k.ndim != 4 or v.ndim != 4:
        raise ContractError(f"{backend}: q, k, v must be (B, T, H, D); got {q.ndim}, {k.ndim} and {v.ndim} axes.")
    batch, tokens, heads, head_dim = q.shape
    if k.shape != v.shape:
        raise ContractError(f"{backend}: k is {tuple(k.shape)} and v is {tuple(v.shape)}; they must be equal.")
    if k.shape[0] != batch or k.shape[3] != head_dim:
        raise ContractError(f"{backend}: q is {tuple(q.shape)}, k is {tuple(k.shape)}; B and D must be equal.")
    if heads % k.shape[2]:
        raise ContractError(f"{backend}: {heads} query heads do not divide into {k.shape[2]} key/value heads.")
    if q.dtype != k.dtype or q.dtype != v.dtype:
        raise ContractError(f"{backend}: q, k, v have dtypes {q.dtype}, {k.dtype}, {v.dtype}; they must be equal.")
    if dtype_name(q.dtype) not in dtypes:
        raise ContractError(f"{backend}: dtype {q.dtype} is not served; it serves {', '.join(sorted(dtypes))}.")
    if cached:
        if k.shape[1] != tokens:
            raise ContractError(f"{backend}: {tokens} new queries but {k.shape[1]} new keys; they must be equal.")
        if not mask.causal or mask.segments_BT is not None:
            raise ContractError(f"{backend}: the cached call serves causal masks without segments only.")
    elif k.shape[1] < tokens:
        raise ContractError(f"{backend}: {tokens} queries but only {k.shape[1]} keys; S must be at least T.")
    if mask.segments_BT is not None and (k.shape[1] != tokens or mask.segments_BT.shape != (batch, tokens)):
        raise ContractError(
            f"{backend}: segments are {tuple(mask.segments_BT.shape)}; they must be {(batch, tokens)}, with S == T."
        )


def check_cache(backend: str, k_new: Tensor, cache: LayerCache) -> None:
    """Raise ContractError unless the new keys fit into the cache; no host synchronisation."""
    batch, tokens, groups, head_dim = k_new.shape
    capacity = cache.k_BSGD.shape[1]
    if cache.k_BSGD.shape != (batch, capacity, groups, head_dim) or cache.v_BSGD.shape != cache.k_BSGD.shape:
        raise ContractError(
            f"{backend}: cache is {tuple(cache.k_BSGD.shape)}; new keys {tuple(k_new.shape)}: B, G, D must match."
        )
    if cache.k_BSGD.dtype != k_new.dtype:
        raise ContractError(f"{backend}: cache holds {cache.k_BSGD.dtype}, new keys are {k_new.dtype}.")
    if cache.longest + tokens > capacity:
        raise ContractError(
            f"{backend}: cache overflow: {cache.longest} tokens held and {tokens} new, capacity {capacity}.",
            todo="Make the cache larger, or stop generating.",
        )


def check_loss(
    backend: str,
    rows: Tensor,
    targets_N: Tensor,
    *,
    weight_VD: Tensor | None,
    softcap: float | None,
    reduction: str,
    dtypes: Iterable[str],
) -> None:
    """Raise ContractError unless a loss call fits the contract. `rows` is hidden (N, D) or logits (N, V)."""
    if rows.ndim != 2 or targets_N.ndim != 1 or targets_N.shape[0] != rows.shape[0]:
        raise ContractError(
            f"{backend}: need rows (N, D) and targets (N,); got {tuple(rows.shape)} and {tuple(targets_N.shape)}."
        )
    if weight_VD is not None:
        if weight_VD.ndim != 2 or weight_VD.shape[1] != rows.shape[1]:
            raise ContractError(
                f"{backend}: weight is {tuple(weight_VD.shape)}; hidden {tuple(rows.shape)} needs (V, {rows.shape[1]})."
            )
        if weight_VD.dtype != rows.dtype:
            raise ContractError(f"{backend}: hidden is {rows.dtype} and weight {weight_VD.dtype}; they must be equal.")
    if dtype_name(rows.dtype) not in dtypes:
        raise ContractError(f"{backend}: dtype {rows.dtype} is not served; it serves {', '.join(sorted(dtypes))}.")
    if str(targets_N.dtype) != "torch.int64":
        raise ContractError(f"{backend}: targets are {targets_N.dtype}; they must be torch.int64.")
    if reduction not in ("mean", "sum", "none"):
        raise ContractError(f"{backend}: reduction {reduction!r} is unknown; use 'mean', 'sum' or 'none'.")
    if softcap is not None and not softcap > 0:
        raise ContractError(f"{backend}: softcap is {softcap}; it must be positive, or None.")


def check_text(backend: str, text: object) -> None:
    """Raise ContractError unless `text` is bytes, or a string that UTF-8 can hold. For tokenizers to call first."""
    if isinstance(text, bytes):
        return
    if not isinstance(text, str):
        raise ContractError(f"{backend}: encode takes str or bytes; got {type(text).__name__}.")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ContractError(
            f"{backend}: the string has a lone surrogate at position {error.start}, which no UTF-8 can hold.",
            todo="Pass bytes, or clean the string first.",
        ) from None


def check_batch(backend: str, texts: object, threads: int) -> None:
    """Raise ContractError unless `texts` are many, and there is a thread to encode them on."""
    if isinstance(texts, (str, bytes)):
        raise ContractError(f"{backend}: encode_batch takes a sequence of texts; got one {type(texts).__name__}.")
    if threads < 1:
        raise ContractError(f"{backend}: threads is {threads}; it must be at least 1.")


def dtype_name(dtype: torch.dtype) -> str:
    """`fp32`, `bf16` or `fp16`; any other dtype under torch's own name."""
    full = str(dtype).removeprefix("torch.")
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.get(full, full)
