"""What Acme offers to nanoplug. Light: nothing heavy may be imported here."""

import click
from attrs import frozen

from nanoplug.spec import AttentionSpec, Needs, hookimpl


@frozen(kw_only=True)
class Options:
    """block_tokens: queries scored at once."""

    block_tokens: int = 64


@hookimpl
def nanoplug_attention():
    return [
        AttentionSpec(
            name="acme",
            summary="Acme's attention, some queries at a time",
            load="acme_attention.attention:AcmeAttention",
            needs=Needs(distributions="torch>=2.9"),
            options=Options,
            dtypes={"fp32", "bf16"},
            window=True,
            gqa=True,
            segments=True,
            cache=True,
            backward=True,
            noncausal=True,
            rank=1,
        )
    ]


@hookimpl
def nanoplug_commands(group):
    group.add_command(hello)


@click.command("acme-hello")
@click.option("--name", default="world", help="Whom to greet.")
def hello(name):
    """Greet somebody from Acme."""
    click.echo(f"acme greets {name}")
