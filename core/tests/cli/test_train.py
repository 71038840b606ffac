"""`nanoplug train`: what flags and files become, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from nanoplug.cli import run_training as run_training_module
from nanoplug.config import SECTIONS, SITES, Config, fields

Run = Callable[..., Any]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Config, Path, dict[str, Any]]]:
    """What `run_training` was called with; it does nothing."""
    calls: list[tuple[Config, Path, dict[str, Any]]] = []
    monkeypatch.setattr(
        run_training_module, "run_training", lambda config, out, *, console, **how: calls.append((config, out, how))
    )
    return calls


@pytest.fixture
def config_file(tmp_path: Path) -> Callable[..., str]:
    def write(**tables: Any) -> str:
        path = tmp_path / "run.toml"
        path.write_text(tomli_w.dumps(tables))
        return str(path)

    return write


def test_every_key_is_a_flag_and_reaches_its_section(run_here: Run, started: Any) -> None:
    flags: list[str] = []
    expected: dict[str, Any] = {section: {} for section in SECTIONS}
    for section, attribute in fields():
        name, default = attribute.name.replace("_", "-"), attribute.default
        value: Any
        if isinstance(default, bool):
            value = not default
            flags.append(f"--{name}" if value else f"--no-{name}")
        else:
            modes = {"compile": "on", "tuning": "off"}
            other = modes.get(attribute.name, f"{default}x") if isinstance(default, str) else 0.5
            value = other if not isinstance(default, int) else 7
            flags += [f"--{name}", str(value)]
        expected[section][attribute.name] = value
    result = run_here("train", "--out", "runs/a", *flags)
    assert result.exit_code == 0, result.output
    ((config, out, how),) = started
    assert out == Path("runs/a")
    assert how == {"fresh": False, "accept_changes": False}
    assert {section: config.to_dict()[section] for section in SECTIONS} == expected


def test_flags_override_the_file(run_here: Run, started: Any, config_file: Any) -> None:
    path = config_file(model={"depth": 3, "head_dim": 32}, select={"kernel": "a"}, options={"kernel": {"x": 1}})
    run_here("train", "--config", path, "--out", "o", "--depth", "4", "--fresh", "--accept-changes")
    ((config, _, how),) = started
    assert (config.model.depth, config.model.head_dim) == (4, 32)
    assert config.select["kernel"] == "a"
    assert config.options == {"kernel": {"x": 1}}
    assert how == {"fresh": True, "accept_changes": True}


@pytest.mark.parametrize("site", SITES)
def test_every_site_is_a_flag(run_here: Run, started: Any, site: str) -> None:
    run_here("train", "--out", "o", f"--{site}", "prefer=a,b")
    ((config, _, _),) = started
    assert dict(config.select) == {**dict.fromkeys(SITES, "auto"), site: "prefer=a,b"}


def test_attention_is_both_sites_and_a_single_one_wins(run_here: Run, started: Any) -> None:
    run_here("train", "--out", "o", "--attention.decode", "b", "--attention", "a")
    ((config, _, _),) = started
    assert (config.select["attention.train"], config.select["attention.decode"]) == ("a", "b")


def test_options_of_backends(run_here: Run, started: Any) -> None:
    given = ["kernel.rows=4096", "attention.block=true", "attention.decode.name=fast", "kernel.share=0.5"]
    run_here("train", "--out", "o", *(part for text in given for part in ("--option", text)))
    ((config, _, _),) = started
    assert config.options == {
        "kernel": {"rows": 4096, "share": 0.5},
        "attention.train": {"block": True},
        "attention.decode": {"block": True, "name": "fast"},
    }


@pytest.mark.parametrize("text", ["rows=1", "kernel.rows", "kernal.rows=1", "=1"])
def test_an_option_that_does_not_parse(run_here: Run, started: Any, text: str) -> None:
    result = run_here("train", "--out", "o", "--option", text)
    assert result.exit_code == 1
    assert f"--option {text!r} does not parse" in result.stderr
    assert "SITE.KEY=VALUE" in result.stderr
    assert started == []


def test_show_config_prints_every_value_with_its_origin(run_here: Run, started: Any, config_file: Any) -> None:
    path = config_file(model={"depth": 3}, select={"tokenizer": "t"}, optim={"matrix_lr": 0.01})
    flags = ("--option", "kernel.rows=[1, 2]", "--no-split-documents", "--device", "d", "--depth", "4")
    result = run_here("train", "--config", path, "--show-config", *flags)
    assert result.exit_code == 0
    assert started == []
    columns = [[part.strip() for part in line.split("  ") if part.strip()] for line in result.stdout.splitlines()]
    shown = {key: (value, origin) for key, value, origin in columns}
    assert shown["model.depth"] == ("4", "flag --depth")
    assert shown["optim.matrix_lr"] == ("0.01", path)
    assert shown["data.split_documents"] == ("false", "flag --split-documents")
    assert shown["select.tokenizer"] == ("t", path)
    assert shown["select.device"] == ("d", "flag")
    assert shown["options.kernel.rows"] == ("[1, 2]", "flag")
    assert shown["run.seed"] == ("42", "default")
    assert shown["run.wandb"] == ("none", "default")
    assert set(shown) >= {f"{section}.{attribute.name}" for section, attribute in fields()}


def test_what_is_wrong_ends_with_one_sentence(run_here: Run, started: Any, config_file: Any) -> None:
    cases = {
        ("--config", config_file(model={"depht": 3})): "unknown key model.depht (did you mean 'depth'?)",
        ("--config", "missing.toml"): "no configuration file missing.toml",
        ("--depth", "0"): "model.depth is 0; it must be at least 1",
        (): "no run folder is given",
    }
    for flags, says in cases.items():
        result = run_here("train", *flags, *(["--out", "o"] if flags else []))
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr.startswith("error: ")
        assert says in result.stderr
    result = run_here("train", "--depht", "3")
    assert result.exit_code == 2
    assert "--depth" in result.stderr
    assert run_here("train", "--depth", "3.5").exit_code == 2
    assert started == []


def test_help_shows_defaults_in_the_files_own_words(run_here: Run) -> None:
    text = " ".join(run_here("train", "--help").stdout.split())
    assert "--depth INTEGER Layers. [20]" in text
    assert "--split-documents / --no-split-documents" in text
    assert "--wandb TEXT Also log to this Weights & Biases project (extra: wandb). [none]" in text
    assert "--attention.train CHOICE" in text


def test_ctrl_c_is_no_traceback(run_here: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_training_module, "run_training", interrupted)
    result = run_here("train", "--out", "o")
    assert (result.exit_code, result.stderr, result.exception) == (130, "interrupted\n", None)
