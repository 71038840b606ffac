"""Opens a run folder for generation or evaluation: the trained model on a device, through the registry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import evolve, frozen
from rich.console import Console

from nanoplug.cli.parts import (
    Workshop,
    build_model,
    closed_on_error,
    resolve_device,
    resolve_model_parts,
    resolve_tokenizer,
)
from nanoplug.cli.say import say_line
from nanoplug.config import Config, load_config
from nanoplug.contracts import Device, Tokenizer
from nanoplug.errors import CheckpointError
from nanoplug.model.config import GPTConfig
from nanoplug.model.gpt import GPT
from nanoplug.model.weights import load_weights
from nanoplug.registry.piece import Piece
from nanoplug.training.checkpoint import Checkpoint
from nanoplug.training.run_folder import RunFolder


@frozen(kw_only=True)
class OpenRun:
    """model: in evaluation mode, on `device`. step: of the checkpoint that it was read from.

    validation: the names of the shards that the run was validated on; empty for a checkpoint that does not say.
    """

    model: GPT
    tokenizer: Tokenizer
    device: Device
    config: Config
    step: int
    validation: tuple[str, ...]
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
    select = select or {}
    # The options of a backend are not those of the one that takes its place.
    options = {site: given for site, given in config.options.items() if site not in select}
    config = evolve(config, select={**config.select, **select}, options=options)
    checkpoint = run.checkpoints().load(step, tensors=("model",))
    workshop = Workshop.of(config)
    device_piece, device = resolve_device(workshop)
    with closed_on_error(device):
        tokenizer_piece, tokenizer = resolve_tokenizer(workshop, Path(config.data.tokenizer_dir))
        model_config = GPTConfig.from_dict(checkpoint.state["model"])
        _check_tokenizer(checkpoint, model_config, tokenizer, config.data.tokenizer_dir)
        compute_dtype = device.compute_dtype(precision or config.compute.precision)
        parts = resolve_model_parts(
            workshop,
            model_config,
            device=device,
            compute_dtype=compute_dtype,
            batch_size=config.optim.device_batch_size,
            segments=config.data.mask_documents,
            train=False,
        )
        pieces = (device_piece, tokenizer_piece, *parts.pieces)
        if console is not None:
            for piece in pieces:
                say_line(console, piece.line())
        model = build_model(model_config, parts, device, compute_dtype)
        load_weights(model, checkpoint.model)
    return OpenRun(
        model=model.eval(),
        tokenizer=tokenizer,
        device=device,
        config=config,
        step=checkpoint.step,
        validation=_validation_shards(checkpoint),
        pieces=pieces,
    )


def _validation_shards(checkpoint: Checkpoint) -> tuple[str, ...]:
    stored = checkpoint.state["validation"]
    return tuple(stored["shards"]) if isinstance(stored, Mapping) else ()


def _check_tokenizer(checkpoint: Checkpoint, model: GPTConfig, tokenizer: Tokenizer, folder: str) -> None:
    trained_with = checkpoint.state["tokenizer"]
    if trained_with != tokenizer.fingerprint or model.vocab_size != tokenizer.vocab_size:
        raise CheckpointError(
            f"{checkpoint.folder} was trained with another tokenizer than the one in {folder}:"
            f" {model.vocab_size:,} tokens, fingerprint {trained_with[:12]};"
            f" that one has {tokenizer.vocab_size:,}, {tokenizer.fingerprint[:12]}.",
            todo="Put the tokenizer back that the run was trained with.",
        )
