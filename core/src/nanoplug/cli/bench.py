"""`nanoplug bench`: the backends of a kind against each other on this machine, at the shapes of whoever asks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nanoplug.base_folder import base_folder
from nanoplug.benching.shapes import SHAPE_OF_KIND, Shape, default_shapes, parse_shape
from nanoplug.cli.bench_tokenizer import bench_tokenizer
from nanoplug.errors import ConfigError, PluginError, nearest
from nanoplug.registry.choice import Choice
from nanoplug.registry.discover import discover
from nanoplug.registry.judge import judge_request
from nanoplug.registry.machine import Machine
from nanoplug.registry.request import Request
from nanoplug.registry.select import resolve
from nanoplug.registry.tuning import LOSS, Profile, Tuning, bucket_of, made_of, place
from nanoplug.registry.verdicts import Verdicts
from nanoplug.spec import DTYPES, AttentionSpec, KernelSpec

if TYPE_CHECKING:
    from nanoplug.benching.contender import Contender
    from nanoplug.benching.measure import Result, Terms

Say = Callable[[str], None]
PICTURES = (".png", ".svg", ".pdf")
HELP = """Measure {}: those that pass their laws here.

Each first proves itself as by `nanoplug verify`; what was found is remembered until its files or versions change.
Then forward, and forward and backward, are timed in turn, and memory and error are taken. Every row is added to
bench.jsonl. What a backend cannot do is a row that says so.
"""
WHAT = {"attention": "attention backends", "kernel": "the losses of kernels"}

_OPTIONS = (
    click.option(
        "--shapes",
        multiple=True,
        metavar="SHAPE",
        help="Such as B=16,T=2048,H=16,G=4,D=128,window=1024 of attention, N=32768,D=1280,V=65536,softcap=15 of a"
        " kernel's loss; repeatable. Default: a few that are usual on the device.",
    ),
    click.option("--backends", metavar="A,B", help="Only these, which must serve. Default: all that do."),
    click.option("--device", help="Device type, such as cpu or cuda. Default: the best one here."),
    click.option("--dtype", type=click.Choice(DTYPES), help="Of the inputs [bf16 on cuda, fp32 elsewhere]."),
    click.option(
        "--compile",
        "compiles",
        type=click.Choice(["auto", "on", "off"]),
        default="auto",
        help="torch.compile, for backends that declare it safe: auto is on for cuda alone.",
    ),
    click.option("--rounds", type=click.IntRange(min=1), default=20, help="Measurements of each, in turn [20]."),
    click.option("--tune", is_flag=True, help="Let auto choose by these times on this machine."),
    click.option("--plot", type=click.Path(path_type=Path), metavar="FILE", help="Also draw them: .png, .svg or .pdf."),
    click.option("--out", type=click.Path(path_type=Path), help="Folder of bench.jsonl [bench in the base folder]."),
    click.option("--json", "as_json", is_flag=True, help="Print rows as JSON; what else is said goes to stderr."),
)


def measure_backends(
    kind: str,
    shapes: tuple[str, ...],
    backends: str | None,
    device: str | None,
    dtype: str | None,
    compiles: str,
    rounds: int,
    tune: bool,
    plot: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """What `nanoplug bench KIND` does."""

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    machine = Machine.here()
    device = device or machine.devices[0]
    if device not in machine.devices:
        why = machine.absent.get(device) or f"it is not a device type{nearest(device, machine.devices)}"
        raise ConfigError(f"device {device!r} is not here: {why}.", todo=f"Here: {', '.join(machine.devices)}.")
    if plot is not None and plot.suffix not in PICTURES:
        raise ConfigError(f"--plot {plot}: a picture must end in {', '.join(PICTURES)}.")
    wanted = [parse_shape(kind, text) for text in shapes] or default_shapes(kind, device)

    from nanoplug.benching.measure import Terms

    terms = Terms(
        device=device,
        dtype=dtype or ("bf16" if device == "cuda" else "fp32"),
        compiled=compiles == "on" or (compiles == "auto" and device == "cuda"),
        rounds=rounds,
    )
    named = None if backends is None else [name.strip() for name in backends.split(",") if name.strip()]
    where = f"{place(machine, device)}, {terms.dtype}, {'' if terms.compiled else 'not '}compiled, {rounds} rounds"
    say(f"bench {kind} on {where}")
    contenders = _proven(_contenders(kind, named, wanted, terms, machine, say), wanted, terms, machine, say)
    measured = _measure(kind, wanted, contenders, terms, machine, out or base_folder() / "bench", say)
    if as_json:
        click.echo(json.dumps([row for _, rows in measured for row in rows], indent=2, allow_nan=False))
    if tune:
        _tune(kind, [results for results, _ in measured], terms, machine, say)
    if plot is not None:
        from nanoplug.benching.plot import draw

        draw(plot, [results for results, _ in measured], title=f"{kind} on {where}")
        say(f"drawn: {plot}")


def _contenders(
    kind: str, named: Sequence[str] | None, shapes: Sequence[Shape], terms: Terms, machine: Machine, say: Say
) -> list[Contender]:
    """The backends that serve the device and dtype here, loaded; of the named ones each must."""
    from nanoplug.benching.contender import Contender

    catalogue = discover()
    verdicts = Verdicts()
    asked = Request(device=terms.device, dtype=terms.dtype, ops=LOSS if kind == "kernel" else None)
    found: list[Contender] = []
    for name in named if named is not None else [entry.id for entry in catalogue.entries(kind)]:
        try:
            piece = resolve(catalogue, machine, kind=kind, choice=Choice(name=name), request=asked, verdicts=verdicts)
        except PluginError as error:
            if named is not None:
                raise
            first, *more = error.details or (error.message,)
            say(f"left out: {name.partition(':')[2]}: {first}{f' (and {len(more)} more)' if more else ''}")
            continue
        (entry,) = catalogue.named(kind, piece.id)
        assert isinstance(entry.spec, (AttentionSpec, KernelSpec))
        requests = {str(shape): shape.request(terms.device, terms.dtype) for shape in shapes}
        unfit = {text: "; ".join(map(str, judge_request(entry.spec, request))) for text, request in requests.items()}
        contender = Contender(
            id=entry.id,
            spec=entry.spec,
            distribution=entry.distribution,
            version=entry.version,
            made_of=made_of(entry, machine),
            backend=piece.backend,
            excused={text: reasons for text, reasons in unfit.items() if reasons},
        )
        if all(contender.id != other.id for other in found):
            found.append(contender)
    if not found:
        raise PluginError(
            f"no {kind} here serves {terms.dtype} on {terms.device}.",
            todo="`nanoplug plugins list` shows what is installed, and why it cannot be used.",
        )
    return found


def _proven(
    contenders: Sequence[Contender], shapes: Sequence[Shape], terms: Terms, machine: Machine, say: Say
) -> list[Contender]:
    """The same, those that break a law excused from every shape."""
    from attrs import evolve

    from nanoplug.benching.proof import Proofs

    proofs = Proofs(base_folder() / "bench" / "proofs.json", place(machine, terms.device))
    judged = []
    for contender in contenders:
        proof = proofs.of(contender, terms.device, say)
        failed = f"not measured: {proof.text}; see `nanoplug verify {contender.spec.kind} {contender.name}`"
        excused = contender.excused if proof.passed else {str(shape): failed for shape in shapes}
        judged.append(evolve(contender, excused=excused))
    return judged


def _measure(
    kind: str,
    shapes: Sequence[Shape],
    contenders: Sequence[Contender],
    terms: Terms,
    machine: Machine,
    out: Path,
    say: Say,
) -> list[tuple[list[Result], list[dict[str, Any]]]]:
    """Results and rows of each shape; rows are written, and tables shown, as soon as they are there."""
    from nanoplug.benching import results as files
    from nanoplug.benching.measure import measure_at
    from nanoplug.benching.report import rows, shown

    measured = []
    for shape in shapes:
        results = measure_at(shape, contenders, terms)
        of_shape = rows(kind, results, terms, device_name=place(machine, terms.device))
        files.append(out / "bench.jsonl", of_shape)
        say(f"\n{shape}\n{shown(of_shape)}")
        measured.append((results, of_shape))
    say(f"\nrows added to {out / 'bench.jsonl'}")
    return measured


def _tune(kind: str, measured: Sequence[list[Result]], terms: Terms, machine: Machine, say: Say) -> None:
    from nanoplug.benching.report import profile

    profiles: dict[str, Profile] = {}
    for results in measured:
        bucket = bucket_of(kind, results[0].shape.request(terms.device, terms.dtype), machine)
        assert bucket is not None
        if bucket in profiles:
            say(f"{results[0].shape} is in the same bucket as {profiles[bucket].shape}; the later is kept")
        profiles[bucket] = profile(results)
    tuning = Tuning()
    tuning.record(profiles)
    say(f"auto goes by these times here ({tuning.path}), as long as nothing of the backends changes:")
    for bucket, of_bucket in profiles.items():
        say(f"  {bucket.rpartition(' | ')[2]}: of {of_bucket.shape}")


@click.group()
def bench() -> None:
    """Measure the backends of a kind, or trained tokenizers, against each other on this machine."""


def _command(kind: str) -> click.Command:
    function: Callable[..., None] = partial(measure_backends, kind)
    for option in reversed(_OPTIONS):
        function = option(function)
    return click.command(kind, help=HELP.format(WHAT[kind]), short_help=f"Measure {WHAT[kind]}.")(function)


for _kind in SHAPE_OF_KIND:
    bench.add_command(_command(_kind))
bench.add_command(bench_tokenizer)
