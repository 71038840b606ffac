"""`nanoplug explain`: which backend would serve, judged from manifests alone."""

from __future__ import annotations

import json

import click

from nanoplug.registry.choice import Choice
from nanoplug.registry.discover import discover
from nanoplug.registry.machine import Machine
from nanoplug.registry.request import Request
from nanoplug.registry.select import Candidate, Resolver
from nanoplug.registry.tuning import Tuning
from nanoplug.spec import KINDS


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.option(
    "--on",
    "described",
    metavar="WORDS",
    default="",
    help="A machine and a request, such as sm_89,torch=2.11,dtype=bf16,head_dim=128,window=1024,backward."
    " What is not said is as here. Without it: this machine, any request.",
)
@click.option("--choice", default="auto", help="auto, a name, prefer=A,B or forbid=C.")
@click.option("--no-tuning", is_flag=True, help="By rank alone, whatever `nanoplug bench --tune` measured.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(kind: str, described: str, choice: str, no_tuning: bool, as_json: bool) -> None:
    """Say which backend of KIND would serve a request, and why the others would not.

    Nothing is loaded: neither torch nor the hardware need be here.
    """
    machine = Machine.described(described) if described else Machine.here()
    resolver = Resolver(discover(), machine, may_probe=False, tuning=None if no_tuning else Tuning())
    chooses = Choice.parse(choice)
    candidates = resolver.candidates(kind, Request.described(described), chooses)
    fit = [one for one in candidates if one.ok and (chooses.name is None or one.entry.answers_to(chooses.name))]
    chosen = fit[0] if fit else None
    if as_json:
        document = {
            "chosen": chosen.entry.name if chosen else None,
            "candidates": [_plain(one) for one in candidates],
            "assumed": list(machine.assumed),
        }
        click.echo(json.dumps(document, indent=2))
        return
    names = [one.entry.name if names_once(candidates, one) else one.entry.id for one in candidates]
    width = max(map(len, names), default=0)
    for name, one in zip(names, candidates, strict=True):
        word = "chosen" if one is chosen else "passed" if one.ok else "rejected"
        click.echo(f"{name:<{width}}  {word:<8}  {'; '.join(one.reasons) or _place(one)}")
    if chosen is None:
        click.echo(f"no installed {kind} would serve this")
    for line in dict.fromkeys(one.untimed for one in candidates if one.untimed):
        click.echo(line)
    for line in machine.assumed:
        click.echo(f"taken as given: {line}")


def names_once(candidates: list[Candidate], one: Candidate) -> bool:
    """Whether the bare name says which backend is meant."""
    return sum(other.entry.name == one.entry.name for other in candidates) == 1


def _place(one: Candidate) -> str:
    return f"rank {one.rank}, {one.timed}" if one.timed else f"rank {one.rank}"


def _plain(one: Candidate) -> dict[str, object]:
    return {
        "name": one.entry.name,
        "ok": one.ok,
        "reasons": list(one.reasons),
        "id": one.entry.id,
        "rank": one.rank,
        "tuned": None if one.timed is None else {"date": one.timed.date, "ms": one.timed.ms},
        "not_tuned": one.untimed,
    }
