"""The configuration of a training run: one TOML file, every key also a flag, each value with its origin.

Key names are unique over all sections, so that `[model] depth = 12` is `--depth 12`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import field, frozen

from nanoplug.errors import ConfigError, nearest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SITES = ("device", "tokenizer", "kernel", "attention.train", "attention.decode")


def _key(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@frozen(kw_only=True)
class RunConfig:
    seed: int = _key(42, "Seed of initial weights and of sampling.")
    log_every: int = _key(10, "Steps between reads of the loss from the device; every step is recorded.")
    tensorboard: bool = _key(False, "Also write TensorBoard files into the run folder (extra: tensorboard).")
    wandb: str = _key("", "Also log to this Weights & Biases project (extra: wandb).")


@frozen(kw_only=True)
class DataConfig:
    data: str = _key("", "Folder of parquet shards with a `text` column; the last one is for validation.")
    tokenizer_dir: str = _key("", "Folder of a trained tokenizer.")
    tokenizer_threads: int = _key(4, "Threads that tokenize ahead.")
    tokenizer_batch: int = _key(128, "Documents tokenized together.")
    buffer_documents: int = _key(1000, "Documents that packing chooses from.")
    split_documents: bool = _key(True, "Cut documents longer than a row into several; without it they are cropped.")
    mask_documents: bool = _key(False, "Attention sees only the own document; needs a backend with segments.")


@frozen(kw_only=True)
class ModelConfig:
    depth: int = _key(20, "Layers.")
    aspect_ratio: int = _key(64, "Width is depth times this.")
    head_dim: int = _key(128, "Wanted head size; the head count is the nearest that divides the width.")
    kv_heads: int = _key(0, "Key/value heads; 0 means as many as query heads.")
    sequence_len: int = _key(2048, "Tokens of a training row.")
    window_pattern: str = _key("SSSL", "S: half the sequence, L: all; repeated over layers, the last is L.")


@frozen(kw_only=True)
class OptimConfig:
    device_batch_size: int = _key(32, "Rows of a micro-batch on one device.")
    total_batch_size: int = _key(524_288, "Tokens of an optimizer step over all devices.")
    embedding_lr: float = _key(0.3, "AdamW rate of the token embedding.")
    unembedding_lr: float = _key(0.004, "AdamW rate of the output head.")
    matrix_lr: float = _key(0.02, "Muon rate of the matrices in the blocks.")
    scalar_lr: float = _key(0.5, "AdamW rate of the per-layer scalars.")
    weight_decay: float = _key(0.2, "Muon's weight decay at depth 12; scaled by (12 / depth)^2.")
    adam_beta1: float = _key(0.8, "AdamW's first beta.")
    adam_beta2: float = _key(0.95, "AdamW's second beta.")
    warmup_ratio: float = _key(0.0, "Share of the steps in which the rate rises.")
    warmdown_ratio: float = _key(0.4, "Share of the steps in which the rate falls.")
    final_lr_frac: float = _key(0.0, "The rate at the end, as a share of the full rate.")


@frozen(kw_only=True)
class HorizonConfig:
    """The first of the three that is positive decides."""

    steps: int = _key(-1, "Optimizer steps.")
    target_flops: float = _key(-1.0, "Total FLOPs to spend.")
    target_param_data_ratio: float = _key(8.0, "Training tokens per parameter.")


@frozen(kw_only=True)
class CadenceConfig:
    eval_every: int = _key(250, "Steps between validations; -1 is never (the first and last always run unless so).")
    eval_tokens: int = _key(20 * 524_288, "Validation tokens, taken as whole documents from the start.")
    sample_every: int = _key(2000, "Steps between samples; -1 is never.")
    cpp_eval_every: int = _key(-1, "Steps between evaluations by compiling and running C++; -1 is never.")
    cpp_eval_max_problems: int = _key(500, "Most problems of such an evaluation.")
    save_every: int = _key(-1, "Steps between checkpoints; -1 is at the end only.")
    keep_checkpoints: int = _key(-1, "Latest checkpoints kept; -1 is all.")


@frozen(kw_only=True)
class ComputeConfig:
    precision: str = _key("auto", "Compute dtype: auto, bf16 or fp32. Weights and optimizer state are fp32.")
    compile: str = _key("auto", "torch.compile: auto (as the device does by default), on or off.")
    gradient_checkpointing: bool = _key(False, "Recompute blocks in backward to save memory.")
    check: bool = _key(False, "Check every target against the vocabulary (costs a synchronisation).")


@frozen(kw_only=True)
class Config:
    """A whole run. `select` and `options` are keyed by site: device, tokenizer, kernel, attention.train, .decode."""

    run: RunConfig = field(factory=RunConfig)
    data: DataConfig = field(factory=DataConfig)
    model: ModelConfig = field(factory=ModelConfig)
    optim: OptimConfig = field(factory=OptimConfig)
    horizon: HorizonConfig = field(factory=HorizonConfig)
    cadence: CadenceConfig = field(factory=CadenceConfig)
    compute: ComputeConfig = field(factory=ComputeConfig)
    select: Mapping[str, str] = field(factory=lambda: dict.fromkeys(SITES, "auto"))
    options: Mapping[str, Mapping[str, Any]] = field(factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested tables, as written to `config.toml`."""
        tables: dict[str, Any] = {name: attrs.asdict(getattr(self, name)) for name in SECTIONS}
        tables["select"] = dict(self.select)
        tables["options"] = {site: dict(values) for site, values in self.options.items() if values}
        return tables


SECTIONS: Mapping[str, type] = {
    "run": RunConfig,
    "data": DataConfig,
    "model": ModelConfig,
    "optim": OptimConfig,
    "horizon": HorizonConfig,
    "cadence": CadenceConfig,
    "compute": ComputeConfig,
}


@frozen
class Loaded:
    """A configuration and where each value came from: `default`, the file's name, or the flag."""

    config: Config
    origins: Mapping[str, str]


def fields() -> Iterator[tuple[str, attrs.Attribute[Any]]]:
    """(section, field) of every scalar key."""
    for section, cls in SECTIONS.items():
        for attribute in attrs.fields(cls):
            yield section, attribute


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a file; ConfigError names the file and the line that does not parse."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"no configuration file {path}.", todo="Check the path given to --config.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}.", todo="Mend that line.") from None


def load_config(tables: Mapping[str, Any], flags: Mapping[str, Any], *, source: str = "file") -> Loaded:
    """Join defaults, the file's tables and flags; the later wins.

    flags: leaf key to value, and `select` / `options` keyed by site. Unknown keys raise ConfigError with the
    nearest name, as do wrong types.
    """
    section_of = {attribute.name: section for section, attribute in fields()}
    origins = {f"{section}.{attribute.name}": "default" for section, attribute in fields()}
    origins |= {f"select.{site}": "default" for site in SITES}
    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    select = dict.fromkeys(SITES, "auto")
    options: dict[str, dict[str, Any]] = {}

    for section, table in tables.items():
        if section not in (*SECTIONS, "select", "options"):
            home = section_of.get(section)
            hint = f"; it belongs under [{home}]" if home else nearest(section, (*SECTIONS, "select", "options"))
            raise ConfigError(f"{source}: unknown key {section!r}{hint}.", todo=f"Known tables: {', '.join(SECTIONS)}.")
        if not isinstance(table, Mapping):
            raise ConfigError(f"{source}: {section!r} must be a table, got {table!r}.")
        for key, value in _sites(table, source) if section in ("select", "options") else table.items():
            if section == "select":
                select[key] = _typed(value, str, f"{source}: select.{key}")
            elif section == "options":
                options.setdefault(key, {}).update(value)
            elif section_of.get(key) != section:
                home = section_of.get(key)
                hint = f"; it belongs under [{home}]" if home else nearest(key, section_of)
                raise ConfigError(f"{source}: unknown key {section}.{key}{hint}.")
            else:
                values[section][key] = value
            origins[f"{section}.{key}"] = source
    for key, value in flags.items():
        if key == "select":
            for site, choice in value.items():
                select[site] = choice
                origins[f"select.{site}"] = "flag"
        elif key == "options":
            for site, given in value.items():
                options.setdefault(site, {}).update(given)
                origins[f"options.{site}"] = "flag"
        elif key not in section_of:
            raise ConfigError(f"unknown option {key!r}{nearest(key, section_of)}.")
        else:
            values[section_of[key]][key] = value
            origins[f"{section_of[key]}.{key}"] = f"flag --{key.replace('_', '-')}"
    sections = {}
    for section, cls in SECTIONS.items():
        kinds = {attribute.name: type(attribute.default) for attribute in attrs.fields(cls)}
        sections[section] = cls(
            **{
                k: _typed(v, kinds[k], f"{origins[f'{section}.{k}']}: {section}.{k}")
                for k, v in values[section].items()
            }
        )
    config = Config(**sections, select=select, options=options)
    _check(config)
    return Loaded(config, origins)


def _sites(table: Mapping[str, Any], source: str) -> Iterator[tuple[str, Any]]:
    """Sites of a `select` or `options` table; `attention = x` stands for both of its sites."""
    for key, value in table.items():
        if key == "attention" and isinstance(value, Mapping) and value and set(value) <= {"train", "decode"}:
            for part, inner in value.items():
                yield f"attention.{part}", inner
        elif key == "attention":
            yield "attention.train", value
            yield "attention.decode", value
        elif key in SITES:
            yield key, value
        else:
            raise ConfigError(
                f"{source}: unknown site {key!r}{nearest(key, SITES)}.", todo=f"Sites: {', '.join(SITES)}."
            )


def _typed(value: Any, kind: type, where: str) -> Any:
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not kind:
        raise ConfigError(f"{where} must be {_KIND_NAMES[kind]}, got {value!r}.")
    return value


_KIND_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def _check(config: Config) -> None:
    positive = {
        "run.log_every": config.run.log_every,
        "data.tokenizer_threads": config.data.tokenizer_threads,
        "data.tokenizer_batch": config.data.tokenizer_batch,
        "data.buffer_documents": config.data.buffer_documents,
        "model.depth": config.model.depth,
        "model.aspect_ratio": config.model.aspect_ratio,
        "model.head_dim": config.model.head_dim,
        "model.sequence_len": config.model.sequence_len,
        "optim.device_batch_size": config.optim.device_batch_size,
        "optim.total_batch_size": config.optim.total_batch_size,
        "cadence.eval_tokens": config.cadence.eval_tokens,
    }
    for name, value in positive.items():
        if value <= 0:
            raise ConfigError(f"{name} is {value}; it must be at least 1.")
    for name in ("eval_every", "sample_every", "cpp_eval_every", "save_every", "keep_checkpoints"):
        value = getattr(config.cadence, name)
        if value == 0 or value < -1:
            raise ConfigError(f"cadence.{name} is {value}; use a number of at least 1, or -1.")
    for name in ("warmup_ratio", "warmdown_ratio", "final_lr_frac"):
        value = getattr(config.optim, name)
        if not 0 <= value <= 1:
            raise ConfigError(f"optim.{name} is {value}; it must lie between 0 and 1.")
    if config.compute.compile not in ("auto", "on", "off"):
        raise ConfigError(f"compute.compile is {config.compute.compile!r}; use auto, on or off.")


def parse_value(text: str) -> Any:
    """A TOML value where `text` is one, such as 4096 or true; the text itself otherwise."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`section.key old -> new` for each value that differs between two `Config.to_dict()` tables."""
    flat_old, flat_new = dict(_flatten(old)), dict(_flatten(new))
    missing = "(not set)"
    return [
        f"{key} {flat_old.get(key, missing)!r} -> {flat_new.get(key, missing)!r}"
        for key in sorted({*flat_old, *flat_new})
        if flat_old.get(key, missing) != flat_new.get(key, missing)
    ]


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
