"""Opens a run folder for generation or evaluation: the trained model on a device, through the registry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import evolve, frozen
from rich.console import Console

from nanoplug.cli.parts import Workshop, build_model, resolve_device, resolve_model_parts, resolve_tokenizer
from nanoplug.config import Config, load_config
from nanoplug.contracts import Device, Tokenizer
from nanoplug.errors import CheckpointError
from nanoplug.model.config import GPTConfig
from nanoplug.model.gpt import GPT
from nanoplug.model.weights import load_weights
from nanoplug.registry.piece import Piece
from nanoplug.training.run_folder import RunFolder


@frozen(kw_only=True)
class OpenRun:
    """model: in evaluation mode, on `device`. step: of the checkpoint that it was read from."""

    model: GPT
    tokenizer: Tokenizer
    device: Device
    config: Config
    step: int
    pieces: tuple[Piece, ...]


def open_run(
    folder: Path,
    *,
    step: int | None = None,
    select: Mapping[str, str] | None = None,
    precision: str | None = None,
    console: Console | None = None,
) -> OpenRun:
    """The model of `folder` at `step`, the latest checkpoint by default.

    select: choices that override the run's own, by site. precision: as `--precision`; the run's own by default.
    console: where to print a line for each resolved piece. Raises RunConflict if the folder holds no run and
    CheckpointError if the checkpoint is missing, damaged, or does not fit the tokenizer.
    """
    run = RunFolder(folder)
    config = load_config(run.require_run(), {}, source=str(run.config)).config
    config = evolve(config, select={**config.select, **(select or {})})
    checkpoint = run.checkpoints().load(step, tensors=("model",))
    workshop = Workshop(config.select, config.options)
    device_piece, device = resolve_device(workshop)
    tokenizer_piece, tokenizer = resolve_tokenizer(workshop, Path(config.data.tokenizer_dir))
    model_config = GPTConfig.from_dict(checkpoint.state["model"])
    if checkpoint.state["tokenizer"] != tokenizer.fingerprint or model_config.vocab_size != tokenizer.vocab_size:
        raise CheckpointError(
            f"{checkpoint.folder} was trained with another tokenizer than the one in {config.data.tokenizer_dir}:"
            f" {model_config.vocab_size:,} tokens, fingerprint {checkpoint.state['tokenizer'][:12]};"
            f" that one has {tokenizer.vocab_size:,}, {tokenizer.fingerprint[:12]}.",
            todo="Put the tokenizer back that the run was trained with.",
        )
    compute_dtype = device.compute_dtype(precision or config.compute.precision)
    parts = resolve_model_parts(
        workshop,
        model_config,
        device=device,
        compute_dtype=compute_dtype,
        segments=config.data.mask_documents,
        train=False,
    )
    pieces = (device_piece, tokenizer_piece, *parts.pieces)
    if console is not None:
        for piece in pieces:
            console.print(piece.line(), markup=False, highlight=False, soft_wrap=True)
    model = build_model(model_config, parts, device, compute_dtype)
    load_weights(model, checkpoint.model)
    return OpenRun(
        model=model.eval(),
        tokenizer=tokenizer,
        device=device,
        config=config,
        step=checkpoint.step,
        pieces=pieces,
    )
