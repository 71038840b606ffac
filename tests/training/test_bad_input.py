"""Whatever is wrong: one clear sentence that says what to do, a status that is not 0, and nothing lost."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from nanoplug.cli.main import main
from nanoplug.training.checkpoint import Checkpoints
from nanoplug.training.metrics import read_rows
from nanoplug.training.run_folder import RunFolder

Train = Callable[..., Any]
Run = Callable[..., Any]


def says(result: Any, *texts: str) -> None:
    """It failed on purpose, and says all of `texts`."""
    assert result.exception is None
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("error: ") or "\nerror: " in result.stderr
    assert "Traceback" not in result.output
    for text in texts:
        assert text in result.stderr


def contents(folder: Path) -> Mapping[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_rows(run / "metrics.jsonl") if row["event"] == "step"]


def step_folder(run: Path, step: int) -> Path:
    return Checkpoints(run / "checkpoints").path(step)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("finished") / "run"


@pytest.fixture
def run(finished: Path, tmp_path: Path, train: Train) -> Path:
    """A copy of a finished run, which is made once."""
    if not finished.exists():
        assert train(finished).exit_code == 0
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def half_run(run: Path) -> Path:
    """One that was stopped after the checkpoint of step 6."""
    for step in (9, 12):
        shutil.rmtree(step_folder(run, step))
    (run / "summary.json").unlink()
    return run


@pytest.fixture(scope="session")
def other_tokenizer(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("other") / "tokenizer"
    with pytest.raises(SystemExit):
        main(
            [
                "tokenizer",
                "train",
                "--tokenizer",
                "bpe",
                "--data",
                str(data),
                "--vocab-size",
                "320",
                "--out",
                str(folder),
            ]
        )
    return folder


# What is read


@pytest.mark.parametrize("files", [{}, {"a.h": b"\x7fELF\x00\x01" * 50, "b.cpp": b"\x00\xff" * 99}, {"a.txt": b"text"}])
def test_a_corpus_without_source(run_here: Run, files: dict[str, bytes], tmp_path: Path) -> None:
    source, out = tmp_path / "src", tmp_path / "out"
    source.mkdir()
    for name, content in files.items():
        (source / name).write_bytes(content)
    says(run_here("data", "build", "--source", str(source), "--out", str(out)), str(source))
    says(run_here("quickstart", "--corpus", str(source), "--out", str(out)), str(source))
    assert not out.exists() or not any(out.iterdir())


def test_no_data_no_tokenizer_no_shards(train: Train, tmp_path: Path, data: Path) -> None:
    (tmp_path / "empty").mkdir()
    run = tmp_path / "run"
    says(train(run, data=None), "data.data is not set", "--data")
    says(train(run, tokenizer_dir=None), "data.tokenizer_dir is not set", "--tokenizer-dir")
    says(train(run, data=tmp_path / "empty"), "holds 0 shard(s)", "nanoplug data build")
    says(train(run, data=tmp_path / "missing"), "missing is not a folder", "nanoplug data build")
    says(train(run, tokenizer_dir=tmp_path / "empty"), "so no whole tokenizer", "nanoplug tokenizer train")
    binary = shutil.copytree(data, tmp_path / "binary")
    (binary / "train_00000.parquet").write_bytes(b"\x7fELF" * 100)
    says(train(run, data=binary), "train_00000.parquet", "nanoplug data build")
    assert contents(run) == {}


def test_data_that_changed_under_a_run(
    train: Train, run_here: Run, half_run: Path, data: Path, corpus: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(data, tmp_path / "data")
    assert train(tmp_path / "other", data=moved, steps=3).exit_code == 0
    (tmp_path / "other" / "summary.json").unlink()
    before = contents(tmp_path / "other")
    wrong = {"train_00000.parquet": "the training shards are not", "val.parquet": "the validation shard is not the one"}
    for name, what in wrong.items():
        (other,) = set(wrong) - {name}
        shutil.copy(data / other, moved / name)
        says(train(tmp_path / "other", data=moved, steps=3), what, "Put the shard")
        shutil.copy(data / name, moved / name)
    assert contents(tmp_path / "other") == before
    # The same shards in another place are the same data, once that is accepted.
    says(train(half_run, data=moved), "data.data")
    assert train(half_run, data=moved, accept_changes=True).exit_code == 0


# What is asked


def test_a_typo_in_the_configuration(run_here: Run, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("[optim]\nmatrix_rl = 0.02\n")
    says(
        run_here("train", "--config", str(path), "--out", str(tmp_path / "run")),
        f"{path}: unknown key optim.matrix_rl (did you mean 'matrix_lr'?)",
    )
    path.write_text("[optim]\nmatrix_lr = 0.02.1\n")
    says(run_here("train", "--config", str(path), "--out", str(tmp_path / "run")), "line 2", "Mend that line")
    flag = run_here("train", "--matrix-rl", "0.02", "--out", str(tmp_path / "run"))
    assert flag.exit_code == 2
    assert "--matrix-lr" in flag.stderr
    assert not (tmp_path / "run").exists()


def test_a_batch_that_does_not_divide(train: Train, run: Path, tmp_path: Path) -> None:
    words = ("total_batch_size is 100 tokens", "2 x 32 x 1 = 64", "--total-batch-size 64 or 128")
    says(train(tmp_path / "new", total_batch_size=100), *words)
    assert contents(tmp_path / "new") == {}
    before = contents(run)
    says(train(run, total_batch_size=100, fresh=True), *words)
    says(train(run, total_batch_size=100, accept_changes=True), *words)
    assert contents(run) == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"kernel": "trch"}, ["there is no kernel 'trch' (did you mean 'torch'?)", "Installed: "]),
        ({"attention": "flash9"}, ["there is no attention 'flash9'", "Installed: "]),
        ({"tokenizer": "cpp"}, ["tokenizer 'cpp' was asked for", "Drop --tokenizer"]),
        ({"precision": "fp16"}, ["fp16 is not served", "Use fp32, bf16 or auto"]),
        ({"precision": "fp33"}, ["unknown dtype 'fp33' (did you mean 'fp32'?)"]),
        ({"kernel": "prefer=torch;forbid=torch"}, ["torch"]),
        ({"option": "kernel.chunk_row=4"}, ["has no option 'chunk_row'"]),
        ({"steps": -1, "target_param_data_ratio": 0.0001}, ["gives 0 steps", "--steps"]),
        ({"steps": -1, "target_param_data_ratio": -1}, ["no horizon is set", "--target-flops"]),
        ({"window_pattern": "LXS"}, ["window_pattern 'LXS' holds 'X'"]),
        ({"kv_heads": 3}, ["cannot share 3 key/value heads", "n_kv_head must divide n_head"]),
    ],
    ids=str,
)
def test_parts_and_shapes_that_cannot_be(train: Train, tmp_path: Path, flags: dict[str, Any], words: list[str]) -> None:
    if flags.get("precision") == "fp16":
        flags = {**flags, "device": "cpu"}
    says(train(tmp_path / "run", **flags), *words)
    assert contents(tmp_path / "run") == {}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_here(train: Train, tmp_path: Path) -> None:
    says(train(tmp_path / "run", device="cuda"), "device 'cuda' cannot serve this request", "NVIDIA", "cpu")


def test_an_extra_that_is_not_installed_is_said_before_anything_is_lost(
    train: Train, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    before = contents(run)
    says(train(run, wandb="project", fresh=True), "Weights & Biases", "pip install 'nanoplug[wandb]'")
    assert contents(run) == before


# Run folders


def test_a_folder_that_is_no_run(train: Train, run_here: Run, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("words")
    for fresh in (None, True):
        says(train(tmp_path / "thesis", fresh=fresh), "holds no run but other files: chapter.tex", "--out")
    assert contents(tmp_path / "thesis") == {"chapter.tex": b"words"}
    says(train(tmp_path / "thesis" / "chapter.tex"), "cannot be a run folder")
    for folder in ("thesis", "missing"):
        says(run_here("generate", "--run", str(tmp_path / folder), "--prompt", "x"), f"{folder} holds no run")
    assert not (tmp_path / "missing").exists()


def test_two_processes_in_one_folder(train: Train, run: Path) -> None:
    before = contents(run)
    with RunFolder(run).locked():
        says(train(run, fresh=True), "another process is training in", "use another --out")
    assert contents(run) == before
    assert train(run).exit_code == 0


def test_changed_configuration_and_parts(train: Train, half_run: Path) -> None:
    before, expected = contents(half_run), losses(half_run)
    changes = {"kernel": "chunked", "matrix_lr": 0.01}
    words = ("this run was made with other parts:", "optim.matrix_lr 0.02 -> 0.01", "kernel torch -> chunked")
    says(train(half_run, **changes), *words, "--accept-changes", "--fresh")
    assert contents(half_run) == before
    result = train(half_run, **changes, accept_changes=True)
    assert result.exit_code == 0
    for word in words[1:]:
        assert f"{'changed':<16} {word}" in result.stdout
    kept = half_run / "replaced" / "until_step_000006"
    assert {name: (kept / name).read_bytes() for name in ("config.toml", "receipt.json")} == {
        name: before[name] for name in ("config.toml", "receipt.json")
    }
    assert losses(half_run)[:6] == expected[:6]
    assert losses(half_run)[7:] != expected[7:]
    assert train(half_run, **changes).exit_code == 0
    says(train(half_run), "kernel chunked -> torch")


def test_another_shape_is_never_accepted(train: Train, half_run: Path) -> None:
    before = contents(half_run)
    says(train(half_run, depth=2, accept_changes=True), "holds another model", "n_layer 1 -> 2", "--fresh")
    assert contents(half_run) == before


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("receipt.json", ["the receipt cannot be read", "Restore receipt.json"]),
        ("config.toml", ["config.toml cannot be read as TOML"]),
        ("summary.json", ["summary.json is damaged", "Remove it"]),
    ],
)
def test_a_damaged_file_of_the_run(train: Train, run: Path, name: str, words: list[str]) -> None:
    path = run / name
    path.write_bytes(path.read_bytes()[:-30] + b'"[')
    before = contents(run)
    says(train(run), *words)
    assert contents(run) == before


def test_a_damaged_row_of_the_metrics(train: Train, half_run: Path) -> None:
    path = half_run / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:3], "garbage\n", *lines[3:]]))
    before = contents(half_run / "checkpoints")
    says(train(half_run), "line 4 is no row of metrics", "Remove that line")
    path.write_text("".join(lines))
    assert contents(half_run / "checkpoints") == before
    assert train(half_run).exit_code == 0


# Checkpoints


def test_no_checkpoint_yet(run_here: Run, train: Train, run: Path) -> None:
    shutil.rmtree(run / "checkpoints")
    generate = ("generate", "--run", str(run), "--prompt", "x")
    says(run_here(*generate), "no checkpoint in", "Train first")
    says(run_here("eval", "bpb", "--run", str(run)), "no checkpoint in", "Train first")
    (run / "summary.json").unlink()
    assert train(run).exit_code == 0
    says(run_here(*generate, "--step", "5"), "no checkpoint of step 5", "Steps there: 3, 6, 9, 12")
    assert run_here(*generate, "--step", "6", "--max-tokens", "2").exit_code == 0


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["cut", "missing"])
def test_a_truncated_checkpoint(train: Train, run_here: Run, half_run: Path, name: str, how: str) -> None:
    path = step_folder(half_run, 6) / name
    if how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    before = contents(half_run)
    words = (f"checkpoint {path.parent} is damaged: {name}", "run the same command again to go on from step 3")
    says(train(half_run), *words)
    if name != "optimizer.safetensors":
        says(run_here("generate", "--run", str(half_run), "--prompt", "x"), *words)
    assert contents(half_run) == before
    shutil.rmtree(path.parent)
    result = train(half_run)
    assert result.exit_code == 0
    assert "going on from step 3" in result.stdout


def test_a_vocabulary_that_disagrees(
    train: Train, run_here: Run, tokenizer: Path, other_tokenizer: Path, tmp_path: Path
) -> None:
    own = shutil.copytree(tokenizer, tmp_path / "tokenizer")
    run = tmp_path / "run"
    assert train(run, tokenizer_dir=own, steps=3).exit_code == 0
    (run / "summary.json").unlink()
    before = contents(run)
    shutil.rmtree(own)
    shutil.copytree(other_tokenizer, own)
    says(
        train(run, tokenizer_dir=own, steps=3),
        "was trained with another tokenizer: 300 tokens, fingerprint",
        "this one has 320",
        "Give the --tokenizer-dir that it was trained with, or start over with --fresh",
    )
    says(
        run_here("generate", "--run", str(run), "--prompt", "x"),
        "300 tokens",
        "that one has 320",
        "Put the tokenizer back",
    )
    assert contents(run) == before
    shutil.rmtree(own)
    shutil.copytree(tokenizer, own)
    assert train(run, tokenizer_dir=own, steps=3).exit_code == 0


# Full disks


@contextlib.contextmanager
def file_size_limit(size_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond `size_bytes`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def check_no_room(result: Any, run: Path, whole: list[int]) -> None:
    says(result, "could not be written: no room on its disk", "Free space", "nothing that was there is lost")
    checkpoints = Checkpoints(run / "checkpoints")
    assert checkpoints.steps() == whole
    for step in whole:
        checkpoints.load(step)
    assert not list(run.rglob("*nanoplug-tmp"))


@pytest.mark.parametrize("limit_bytes", [20_000, 60_000], ids=["model", "optimizer"])
def test_no_room_for_a_checkpoint(train: Train, half_run: Path, finished: Path, limit_bytes: int) -> None:
    sizes = {path.name: path.stat().st_size for path in step_folder(half_run, 6).iterdir()}
    assert 20_000 < sizes["model.safetensors"] < 60_000 < sizes["optimizer.safetensors"]
    with file_size_limit(limit_bytes):
        result = train(half_run)
    check_no_room(result, half_run, [3, 6])
    result = train(half_run)
    assert result.exit_code == 0
    assert losses(half_run) == losses(finished)


def test_no_room_for_a_row(train: Train, half_run: Path, finished: Path) -> None:
    size_bytes = (half_run / "metrics.jsonl").stat().st_size
    with file_size_limit(max(4000, size_bytes // 2)):
        result = train(half_run, eval_every=4)
    says(result, "could not be written: no room on its disk")
    assert "Traceback" not in result.output
    assert train(half_run).exit_code == 0
    assert losses(half_run) == losses(finished)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """`small_disk(kib)`: a disk of that size; called again it is resized."""
    mounted = tmp_path / "disk"
    mounted.mkdir()

    def size(kib: int) -> Path:
        how = "remount," if os.path.ismount(mounted) else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{how}size={kib}k", "tmpfs", str(mounted)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("this user may not mount a disk")
        return mounted

    yield size
    if os.path.ismount(mounted):
        subprocess.run(["umount", str(mounted)], check=True)


def fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass


def test_a_disk_that_is_full(train: Train, finished: Path, run: Path, small_disk: Callable[[int], Path]) -> None:
    checkpoint_kib = sum(-(-path.stat().st_size // 4096) * 4 for path in step_folder(finished, 3).iterdir())
    disk = small_disk(int(2.5 * checkpoint_kib) + 40)
    check_no_room(train(disk / "run"), disk / "run", [3, 6])

    # With not a byte left it says the same, and changes nothing.
    fill(disk / "filler")
    before = contents(disk / "run")
    check_no_room(train(disk / "run"), disk / "run", [3, 6])
    assert contents(disk / "run") == before

    small_disk(8 * checkpoint_kib + 4000)
    result = train(disk / "run")
    assert result.exit_code == 0
    assert "going on from step 6" in result.stdout
    assert losses(disk / "run") == losses(finished)
    last = "checkpoints/step_000012/model.safetensors"
    assert (disk / "run" / last).read_bytes() == (finished / last).read_bytes()
    assert json.loads((disk / "run" / "summary.json").read_text())["steps"] == 12
