"""Opens the shards that a run trains and is validated on, as its configuration says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attrs import frozen

from nanoplug.cli.build_rendering import build_rendering
from nanoplug.cli.worker_rendering import worker_rendering
from nanoplug.config import Config
from nanoplug.contracts import Device, Tokenizer
from nanoplug.data.eval_rows import EvalLoader
from nanoplug.data.fim import FimRendering
from nanoplug.data.loader import TrainLoader
from nanoplug.data.shards import shards_in, split_shards, validation_among
from nanoplug.data.source import ShardStream
from nanoplug.data.tokenized_folder import OpenShard
from nanoplug.errors import CheckpointError, DataError
from nanoplug.training.checkpoint import Checkpoint


@frozen(kw_only=True)
class Data:
    """Where batches come from. fim: what is filled in, in words; empty if nothing is.

    validation_state: which shards validation reads and what is in them, for the checkpoint.
    """

    loader: TrainLoader
    fim: str
    validation: EvalLoader
    validation_state: Mapping[str, Any]


def open_data(
    config: Config, tokenizer: Tokenizer, device: Device, *, eval_tokens: int, checkpoint: Checkpoint | None
) -> Data:
    """The loaders of a run, where `checkpoint` left them, or at their beginning.

    Raises DataError if the shards are not there, damaged, or others than before, and for a tokenizer that does not
    know the bytes of its tokens, which validation would ask for.
    """
    counted = len(tokenizer.bytes_per_token)
    if counted != tokenizer.vocab_size:
        raise DataError(
            f"the tokenizer has {tokenizer.vocab_size:,} ids and states the bytes of {counted:,}; bits per byte cannot"
            " be counted with it.",
            todo="Train with another tokenizer, or tell the author of its plugin.",
        )
    stored = None if checkpoint is None else _stored_validation(checkpoint)
    training, validation, stream = _shards(config, tokenizer, stored)
    both: dict[str, Any] = {
        "batch_size": config.optim.device_batch_size,
        "sequence_len": config.model.sequence_len,
        "rank": device.rank,
        "world_size": device.world_size,
        "tokenizer_batch": config.data.tokenizer_batch,
        "tokenizer_threads": config.data.tokenizer_threads,
        "segments": config.data.mask_documents,
    }
    rendering = build_rendering(config, tokenizer)
    loader = TrainLoader(
        training,
        tokenizer,
        tokenizer_workers=config.data.tokenizer_workers,
        buffer_documents=config.data.buffer_documents,
        split_documents=config.data.split_documents,
        rendering=rendering,
        open_rendering=partial(worker_rendering, config),
        stream=stream,
        **both,
    )
    rows = EvalLoader(validation, tokenizer, max_tokens=eval_tokens, **both)
    state = {"shards": [path.name for path in validation], "digest": rows.digest}
    if checkpoint is not None:
        loader.load_states(checkpoint.state["loader"])
        if stored != state:
            raise DataError(
                "the validation shard is not the one that this run was validated on.",
                todo="Put the shard back as it was, or start over with --fresh.",
            )
    fim = rendering.describe() if isinstance(rendering, FimRendering) else ""
    return Data(loader=loader, fim=fim, validation=rows, validation_state=state)


def _stored_validation(checkpoint: Checkpoint) -> Mapping[str, Any]:
    stored = checkpoint.state["validation"]
    if not isinstance(stored, Mapping) or not isinstance(checkpoint.state["loader"], list):
        raise CheckpointError(
            f"checkpoint {checkpoint.folder} says where its loader stood in a way that this nanoplug does not read.",
            todo="Go on with the nanoplug version that wrote it (receipt.json names it), or start over with --fresh.",
        )
    return stored


def _shards(
    config: Config, tokenizer: Tokenizer, stored: Mapping[str, Any] | None
) -> tuple[Sequence[Path], list[Path], ShardStream | None]:
    """Training and validation shards, and where more come from. Once a run has begun, validation is what it was."""
    folder = Path(config.data.data)
    names = None if stored is None else stored["shards"]
    if not config.data.stream:
        return *split_shards(folder, validation=names), None
    if names is None:
        open_shard = OpenShard(tokenizer)
        whole = [path for path in shards_in(folder) if _is_whole(path, open_shard)]
        if len(whole) < 2:
            raise DataError(
                f"{folder} holds {len(whole)} whole shard(s); a stream needs two to begin with: one is for validation.",
                todo="Start again when there are two. A name that starts with val chooses the one for validation.",
            )
        names = [path.name for path in validation_among(whole)]
    stream = ShardStream(folder, names, poll_s=config.data.stream_poll_s)
    return (), [folder / name for name in names], stream


def _is_whole(path: Path, open_shard: OpenShard) -> bool:
    try:
        open_shard(path)
    except DataError:
        return False
    return True
