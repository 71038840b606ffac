"""The configuration of a training run: one TOML file, every key also a flag, each value with its origin.

Key names are unique over all sections, so that `[model] depth = 12` is `--depth 12`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import define, field, frozen

from nanoplug.errors import ConfigError, nearest
from nanoplug.ranges import check_values

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
    tuning: str = _key("auto", "auto: backends are chosen by what `nanoplug bench --tune` measured here; off: by rank.")


@frozen(kw_only=True)
class DataConfig:
    data: str = _key("", "Folder of shards: parquet with a `text` column, or tokens; val* or the last validates.")
    tokenizer_dir: str = _key("", "Folder of a trained tokenizer.")
    tokenizer_threads: int = _key(4, "Threads that tokenize ahead.")
    tokenizer_workers: int = _key(0, "Processes that tokenize ahead in place of threads; 0 is none.")
    tokenizer_batch: int = _key(128, "Documents tokenized together.")
    stream: bool = _key(False, "Also train on shards that come into the folder, until a file _COMPLETE is there.")
    stream_poll_s: float = _key(30.0, "Seconds between looks for such shards.")
    buffer_documents: int = _key(1000, "Documents that packing chooses from.")
    split_documents: bool = _key(True, "Cut documents longer than a row into several; without it they are cropped.")
    mask_documents: bool = _key(False, "Attention sees only the own document; needs a backend with segments.")
    fim_rate: float = _key(0.0, "Share of documents split for filling in the middle.")
    fim_spm_rate: float = _key(0.5, "Share of those with the suffix before the prefix.")
    fim_function_rate: float = _key(0.0, "Share of those whose middle is a brace block, where there is one.")
    fim_structured_rate: float = _key(0.0, "Share of documents in whose place a docstring pair comes.")
    fim_pairs: str = _key("", "JSONL file of docstring pairs: docstring, signature, body.")


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
    audit: bool = _key(False, "First profile one step, and stop if a backend does not do what it declares.")
    canary: int = _key(0, "Steps whose batches backends and references also compute, to stop the run on drift.")


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
    nearest name, as do values of the wrong type or out of range.
    """
    draft = _Draft()
    for name, table in tables.items():
        draft.read_table(name, table, source)
    draft.read_flags(flags)
    config = draft.config()
    _check(config)
    return Loaded(config, draft.origins)


_SITE_TABLES = ("select", "options")
_SECTION_OF = {attribute.name: section for section, attribute in fields()}


@define
class _Draft:
    """Values as they come in, the later over the earlier, and where each came from."""

    values: dict[str, dict[str, Any]] = field(factory=lambda: {section: {} for section in SECTIONS})
    select: dict[str, str] = field(factory=lambda: dict.fromkeys(SITES, "auto"))
    options: dict[str, dict[str, Any]] = field(factory=dict)
    origins: dict[str, str] = field(
        factory=lambda: {
            **{f"{section}.{key}": "default" for key, section in _SECTION_OF.items()},
            **{f"select.{site}": "default" for site in SITES},
        }
    )

    def read_table(self, name: str, table: Any, source: str) -> None:
        known = (*SECTIONS, *_SITE_TABLES)
        if name not in known:
            home = _SECTION_OF.get(name)
            hint = f"; it belongs under [{home}]" if home else nearest(name, known)
            raise ConfigError(f"{source}: unknown key {name!r}{hint}.", todo=f"Known tables: {', '.join(known)}.")
        if not isinstance(table, Mapping):
            raise ConfigError(f"{source}: {name!r} must be a table, got {table!r}.", todo=f"Write [{name}] above it.")
        if name == "select":
            for site, choice in _sites(table, source):
                self.choose(site, choice, source)
        elif name == "options":
            for site, given in _sites(table, source):
                self.give_options(site, given, source)
        else:
            for key, value in table.items():
                if _SECTION_OF.get(key) != name:
                    raise _unknown_key(source, name, key)
                self.set(key, value, source)

    def read_flags(self, flags: Mapping[str, Any]) -> None:
        for key, value in flags.items():
            if key == "select":
                for site, choice in value.items():
                    self.choose(site, choice, "flag")
            elif key == "options":
                for site, given in value.items():
                    self.give_options(site, given, "flag")
            elif key not in _SECTION_OF:
                raise ConfigError(
                    f"unknown option {key!r}{nearest(key, _SECTION_OF)}.", todo="See `nanoplug train -h`."
                )
            else:
                self.set(key, value, f"flag --{key.replace('_', '-')}")

    def set(self, key: str, value: Any, origin: str) -> None:
        section = _SECTION_OF[key]
        self.values[section][key] = value
        self.origins[f"{section}.{key}"] = origin

    def choose(self, site: str, choice: Any, origin: str) -> None:
        self.select[site] = _typed(choice, str, f"{origin}: select.{site}")
        self.origins[f"select.{site}"] = origin

    def give_options(self, site: str, given: Any, origin: str) -> None:
        if not isinstance(given, Mapping):
            raise ConfigError(
                f"{origin}: options.{site} must be a table, got {given!r}.", todo=f"Write [options.{site}] above it."
            )
        self.options.setdefault(site, {}).update(given)
        self.origins.update({f"options.{site}.{key}": origin for key in given})

    def config(self) -> Config:
        sections: dict[str, Any] = {}
        for section, cls in SECTIONS.items():
            kinds = {attribute.name: type(attribute.default) for attribute in attrs.fields(cls)}
            typed = {
                key: _typed(value, kinds[key], f"{self.origins[f'{section}.{key}']}: {section}.{key}")
                for key, value in self.values[section].items()
            }
            sections[section] = cls(**typed)
        return Config(**sections, select=self.select, options=self.options)


def _unknown_key(source: str, section: str, key: str) -> ConfigError:
    home = _SECTION_OF.get(key)
    hint = f"; it belongs under [{home}]" if home else nearest(key, _SECTION_OF)
    known = ", ".join(name for name, of in _SECTION_OF.items() if of == section)
    return ConfigError(f"{source}: unknown key {section}.{key}{hint}.", todo=f"Keys of [{section}]: {known}.")


def _sites(table: Mapping[str, Any], source: str) -> Iterator[tuple[str, Any]]:
    """Sites of a `select` or `options` table; `attention` stands for both of its sites, and a single site wins."""
    for key, value in sorted(table.items(), key=lambda item: item[0] != "attention"):
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
    for section in SECTIONS:
        check_values(section, attrs.asdict(getattr(config, section)))
    data = config.data
    if data.fim_structured_rate and not data.fim_pairs:
        raise ConfigError(
            f"data.fim_structured_rate is {data.fim_structured_rate}, but data.fim_pairs is not set.",
            todo="Give --fim-pairs FILE, or set fim_structured_rate to 0.",
        )


def parse_value(text: str) -> Any:
    """A TOML value where `text` is one, such as 4096 or true; the text itself otherwise."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """`section.key old -> new` for each value that differs between two `Config.to_dict()` tables."""
    flat_old, flat_new = dict(flatten(old)), dict(flatten(new))
    missing = "(not set)"
    return [
        f"{key} {flat_old.get(key, missing)!r} -> {flat_new.get(key, missing)!r}"
        for key in sorted({*flat_old, *flat_new})
        if flat_old.get(key, missing) != flat_new.get(key, missing)
    ]


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """`section.key` and value of every leaf."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
