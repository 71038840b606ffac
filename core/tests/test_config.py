"""Every value has one name, one type, one origin; what is wrong is named together with what was meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from nanoplug.config import SITES, Config, differences, fields, flatten, load_config, parse_value, read_toml
from nanoplug.errors import ConfigError


def refused(tables: Mapping[str, Any], flags: Mapping[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(tables, flags or {}, source="run.toml")
    return str(caught.value)


def test_nothing_given_is_all_defaults() -> None:
    loaded = load_config({}, {})
    assert loaded.config == Config()
    assert set(loaded.origins.values()) == {"default"}
    assert dict(loaded.config.select) == dict.fromkeys(SITES, "auto")


def test_a_key_is_in_one_section_only_and_documented() -> None:
    names = [attribute.name for _, attribute in fields()]
    assert len(set(names)) == len(names)
    assert not set(names) & {"config", "out", "fresh", "accept_changes", "show_config", "select", "options"}
    assert all(attribute.metadata["doc"] for _, attribute in fields())


def test_file_over_default_and_flag_over_file_each_with_its_origin() -> None:
    tables = {"model": {"depth": 3, "head_dim": 16}, "select": {"kernel": "a"}, "options": {"kernel": {"x": 1, "y": 2}}}
    flags = {"depth": 5, "select": {"device": "b"}, "options": {"kernel": {"y": 3}}}
    loaded = load_config(tables, flags, source="run.toml")
    assert (loaded.config.model.depth, loaded.config.model.head_dim) == (5, 16)
    assert (loaded.config.select["kernel"], loaded.config.select["device"]) == ("a", "b")
    assert loaded.config.options == {"kernel": {"x": 1, "y": 3}}
    expected = {
        "model.depth": "flag --depth",
        "model.head_dim": "run.toml",
        "model.sequence_len": "default",
        "select.kernel": "run.toml",
        "select.device": "flag",
        "select.tokenizer": "default",
        "options.kernel.x": "run.toml",
        "options.kernel.y": "flag",
    }
    assert {key: loaded.origins[key] for key in expected} == expected
    assert set(loaded.origins) == {key for key, _ in flatten(loaded.config.to_dict())}


@pytest.mark.parametrize(
    ("tables", "says"),
    [
        ({"model": {"depht": 3}}, "unknown key model.depht (did you mean 'depth'?)"),
        ({"optim": {"depth": 3}}, "unknown key optim.depth; it belongs under [model]"),
        ({"depth": 3}, "unknown key 'depth'; it belongs under [model]"),
        ({"modle": {}}, "unknown key 'modle' (did you mean 'model'?)"),
        ({"model": 3}, "'model' must be a table, got 3"),
        ({"select": {"kernal": "x"}}, "unknown site 'kernal' (did you mean 'kernel'?)"),
        ({"options": {"kernal": {}}}, "unknown site 'kernal' (did you mean 'kernel'?)"),
        ({"select": {"kernel": 3}}, "select.kernel must be text, got 3"),
        ({"select": "x"}, "'select' must be a table"),
        ({"options": {"kernel": 3}}, "options.kernel must be a table, got 3"),
        ({"model": {"depth": "3"}}, "model.depth must be a whole number, got '3'"),
        ({"model": {"depth": True}}, "model.depth must be a whole number, got True"),
        ({"model": {"depth": 3.0}}, "model.depth must be a whole number, got 3.0"),
        ({"optim": {"matrix_lr": "x"}}, "optim.matrix_lr must be a number, got 'x'"),
        ({"optim": {"matrix_lr": False}}, "optim.matrix_lr must be a number, got False"),
        ({"run": {"tensorboard": 1}}, "run.tensorboard must be true or false, got 1"),
        ({"model": {"window_pattern": 1}}, "model.window_pattern must be text, got 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(tables: dict[str, Any], says: str) -> None:
    text = refused(tables)
    assert "run.toml: " + says in text


def test_an_unknown_key_lists_those_that_there_are() -> None:
    assert "Keys of [model]: depth, aspect_ratio, head_dim" in refused({"model": {"q": 1}})
    assert "Known tables: run, data, model" in refused({"q": {}})
    assert "unknown option 'depht' (did you mean 'depth'?)" in refused({}, {"depht": 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("log_every", 0),
        ("depth", 0),
        ("total_batch_size", -4),
        ("eval_tokens", 0),
        ("cpp_eval_max_problems", 0),
        ("kv_heads", -1),
        ("seed", -1),
        ("matrix_lr", -0.1),
        ("matrix_lr", float("nan")),
        ("target_flops", float("inf")),
        ("warmup_ratio", 1.5),
        ("final_lr_frac", float("nan")),
        ("adam_beta1", 1.0),
        ("eval_every", 0),
        ("save_every", -2),
        ("keep_checkpoints", 0),
        ("compile", "maybe"),
        ("fim_rate", 1.1),
        ("fim_spm_rate", -0.5),
        ("fim_function_rate", 2.0),
        ("fim_structured_rate", -0.1),
    ],
)
def test_values_out_of_range(key: str, value: Any) -> None:
    section = {attribute.name: section for section, attribute in fields()}[key]
    assert refused({}, {key: value}).startswith(f"{section}.{key} is {value!r}; ")


def test_shares_of_the_same_documents() -> None:
    pairs = {"fim_pairs": "p.jsonl"}
    text = refused({"data": pairs}, {"fim_rate": 0.6, "fim_structured_rate": 0.5})
    assert text.startswith("data: fim_rate 0.6 and fim_structured_rate 0.5 are more than 1 together.")
    text = refused({}, {"fim_structured_rate": 0.5})
    assert text.startswith("data.fim_structured_rate is 0.5, but data.fim_pairs is not set.")
    for split in (0.1, 0.3, 0.7, 0.9):
        load_config({"data": pairs}, {"fim_rate": split, "fim_structured_rate": round(1 - split, 1)})


def test_values_at_the_edge_of_their_range() -> None:
    flags = {"log_every": 1, "kv_heads": 0, "matrix_lr": 0, "warmup_ratio": 1.0, "save_every": -1, "eval_every": 1}
    flags["warmdown_ratio"] = 0
    config = load_config({}, flags).config
    assert config.optim.matrix_lr == 0.0
    assert type(config.optim.matrix_lr) is float
    assert config.cadence.save_every == -1


@pytest.mark.parametrize(
    "select",
    [
        {"attention": "a", "attention.train": "b"},
        {"attention.train": "b", "attention": "a"},
        {"attention": {"train": "b", "decode": "a"}},
        {"attention.train": "b", "attention.decode": "a"},
    ],
    ids=str,
)
def test_attention_is_both_sites_and_a_single_one_wins(select: dict[str, Any]) -> None:
    chosen = load_config({"select": select}, {}).config.select
    assert (chosen["attention.train"], chosen["attention.decode"]) == ("b", "a")


def test_options_of_both_attentions() -> None:
    options = load_config({"options": {"attention": {"block": 4}}}, {}).config.options
    assert options == {"attention.train": {"block": 4}, "attention.decode": {"block": 4}}


def test_what_is_written_is_read_back_equal(tmp_path: Path) -> None:
    flags = {"depth": 3, "matrix_lr": 1e-3, "wandb": 'a "b"\n', "options": {"kernel": {"x": [1, 2], "y": "z"}}}
    config = load_config({"select": {"attention": "a"}}, flags).config
    path = tmp_path / "config.toml"
    path.write_text(tomli_w.dumps(config.to_dict()), encoding="utf-8")
    assert load_config(read_toml(path), {}).config == config
    assert differences(config.to_dict(), read_toml(path)) == []


def test_differences_name_each_value() -> None:
    old = load_config({}, {"depth": 3, "options": {"kernel": {"x": 1}}}).config.to_dict()
    new = load_config({}, {"depth": 4, "select": {"kernel": "a"}}).config.to_dict()
    assert differences(old, new) == [
        "model.depth 3 -> 4",
        "options.kernel.x 1 -> '(not set)'",
        "select.kernel 'auto' -> 'a'",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("4096", 4096), ("true", True), ("1e-3", 1e-3), ('"4"', "4"), ("[1, 2]", [1, 2]), ("fast", "fast"), ("", "")],
)
def test_values_of_options_are_toml_or_text(text: str, value: Any) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no configuration file"), (b"[model]\ndepth = \n", "line 2"), (b"\xff", "cannot be read as TOML")],
)
def test_a_file_that_cannot_be_read_names_itself(content: bytes | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_toml(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_toml(tmp_path)
