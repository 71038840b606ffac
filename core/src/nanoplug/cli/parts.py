"""The backends of a run: one for each site, resolved through the registry, shown, and bound into a receipt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from nanoplug.cli.say import say_line
from nanoplug.config import Config
from nanoplug.contracts import Attention, Device, Kernel, Tokenizer, TokenizerFactory, dtype_name
from nanoplug.registry.catalogue import Catalogue
from nanoplug.registry.choice import Choice
from nanoplug.registry.discover import discover
from nanoplug.registry.machine import Machine
from nanoplug.registry.piece import Piece
from nanoplug.registry.receipt import Receipt
from nanoplug.registry.request import Request
from nanoplug.registry.select import resolve
from nanoplug.registry.tuning import Tuning
from nanoplug.training.horizon import model_config

if TYPE_CHECKING:
    import torch
    from rich.console import Console

    from nanoplug.model.config import GPTConfig


@frozen
class Workshop:
    """What is installed here and the machine it is on; resolves sites as a configuration asks.

    tuning: the times that `auto` may go by, or None.
    """

    select: Mapping[str, str]
    options: Mapping[str, Mapping[str, Any]]
    tuning: Tuning | None = None
    catalogue: Catalogue = field(factory=discover)
    machine: Machine = field(factory=Machine.here)

    @classmethod
    def of(cls, config: Config) -> Workshop:
        return cls(config.select, config.options, Tuning() if config.run.tuning == "auto" else None)

    def resolve(self, site: str, request: Request, *, choice: str | None = None) -> Piece:
        return resolve(
            self.catalogue,
            self.machine,
            kind=site.partition(".")[0],
            site=site,
            choice=Choice.parse(choice or self.select[site]),
            request=request,
            options=self.options.get(site, {}),
            tuning=self.tuning,
        )

    def receipt(self, pieces: list[Piece]) -> Receipt:
        return Receipt.of(pieces, self.machine)


@frozen
class ModelParts:
    """What a model is built with."""

    attention: Piece
    decode_attention: Piece
    kernel: Piece

    @property
    def pieces(self) -> list[Piece]:
        return [self.attention, self.decode_attention, self.kernel]


def resolve_device(workshop: Workshop) -> tuple[Piece, Device]:
    piece = workshop.resolve("device", Request())
    return piece, piece.backend


def resolve_tokenizer(workshop: Workshop, folder: Path) -> tuple[Piece, Tokenizer]:
    """The tokenizer in `folder`, by the plugin that its manifest names; a contradicting choice is an error."""
    from nanoplug.data.tokenizer_folder import open_tokenizer, read_manifest
    from nanoplug.errors import ConfigError

    pieces: list[Piece] = []

    def factory(plugin: str) -> TokenizerFactory:
        pieces.append(workshop.resolve("tokenizer", Request(), choice=plugin))
        backend: TokenizerFactory = pieces[-1].backend
        return backend

    wanted = workshop.select["tokenizer"]
    made_by = read_manifest(folder).plugin_id
    if wanted != "auto" and wanted not in (made_by, made_by.partition(":")[2]):
        raise ConfigError(
            f"tokenizer {wanted!r} was asked for, but {folder} was made by {made_by!r}.",
            todo="Drop --tokenizer, or give the --tokenizer-dir of a tokenizer of that kind.",
        )
    tokenizer = open_tokenizer(folder, factory)
    why = f"named by {folder}" if wanted == "auto" else "by name"
    return evolve(pieces[0], why=why), tokenizer


def resolve_model_parts(
    workshop: Workshop,
    model: GPTConfig,
    *,
    device: Device,
    compute_dtype: torch.dtype,
    batch_size: int | None = None,
    segments: bool = False,
    train: bool = True,
) -> ModelParts:
    """Attention for whole rows, attention with a cache, and kernels, for this model on this device.

    batch_size: rows of a micro-batch, where the times of kernels are to count.
    """
    finite = [window for window in model.windows() if 0 <= window < model.sequence_len - 1]
    asked = Request(device=device.type, dtype=dtype_name(compute_dtype))
    heads = evolve(
        asked,
        head_dim=model.head_dim,
        heads=model.n_head,
        kv_heads=model.n_kv_head,
        window=min(finite, default=None),
    )
    rows = evolve(heads, tokens=model.sequence_len, segments=segments or None, backward=train or None)
    loss = evolve(
        asked,
        rows=batch_size * model.sequence_len if batch_size else None,
        width=model.n_embd,
        vocabulary=model.padded_vocab_size,
        softcap=model.softcap is not None,
        reduction="mean",
        backward=train or None,
    )
    return ModelParts(
        attention=workshop.resolve("attention.train", rows),
        decode_attention=workshop.resolve("attention.decode", evolve(heads, cache=True)),
        kernel=workshop.resolve("kernel", loss),
    )


@frozen(kw_only=True)
class RunParts:
    """All that a run is made of, resolved before anything is written."""

    workshop: Workshop
    device: Device
    tokenizer: Tokenizer
    model: GPTConfig
    model_parts: ModelParts
    receipt: Receipt


def resolve_run_parts(config: Config, console: Console) -> RunParts:
    """Resolve every site in the order in which one decides the next, and print a line for each."""
    workshop = Workshop.of(config)
    device_piece, device = resolve_device(workshop)
    with closed_on_error(device):
        return _resolve_on(device_piece, device, workshop, config, console)


@contextmanager
def closed_on_error(device: Device) -> Iterator[None]:
    """Lets go of the device if what is built on it fails."""
    try:
        yield
    except BaseException:
        device.close()
        raise


def _resolve_on(device_piece: Piece, device: Device, workshop: Workshop, config: Config, console: Console) -> RunParts:
    compute_dtype = device.compute_dtype(config.compute.precision)
    precision = f"{dtype_name(compute_dtype)} on fp32 masters"
    peak = device.peak_flops(compute_dtype)
    speed = f", {peak / 1e12:,.0f} TFLOP/s dense" if peak else ""
    place = f"{device.name}, {device.rank + 1} of {device.world_size}"
    say_line(console, f"{device_piece.line()} | {place}, {precision}{speed}")
    tokenizer_piece, tokenizer = resolve_tokenizer(workshop, Path(config.data.tokenizer_dir))
    size = f"{tokenizer.vocab_size:,} tokens, fingerprint {tokenizer.fingerprint[:8]}…"
    say_line(console, f"{tokenizer_piece.line()} | {size}")
    model = model_config(config, vocab_size=tokenizer.vocab_size)
    model_parts = resolve_model_parts(
        workshop,
        model,
        device=device,
        compute_dtype=compute_dtype,
        batch_size=config.optim.device_batch_size,
        segments=config.data.mask_documents,
    )
    for piece in model_parts.pieces:
        say_line(console, piece.line())
    return RunParts(
        workshop=workshop,
        device=device,
        tokenizer=tokenizer,
        model=model,
        model_parts=model_parts,
        receipt=workshop.receipt([device_piece, tokenizer_piece, *model_parts.pieces]),
    )


def build_model(
    model_config: GPTConfig,
    parts: ModelParts,
    device: Device,
    compute_dtype: torch.dtype,
    *,
    recompute: bool = False,
) -> Any:
    """A GPT on the device with weights not yet set; its construction allocates nothing twice."""
    import torch

    from nanoplug.model.gpt import GPT

    attention: Attention = parts.attention.backend
    decode: Attention = parts.decode_attention.backend
    kernel: Kernel = parts.kernel.backend
    with torch.device("meta"):
        model = GPT(
            model_config,
            attention=attention,
            decode_attention=decode,
            kernel=kernel,
            compute_dtype=compute_dtype,
            checkpointed=device.checkpointed if recompute else None,
        )
    return model.to_empty(device=device.torch_device)
