"""The command line: a table of commands, each imported when it runs."""

from __future__ import annotations

import importlib
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click

from nanoplug.errors import NanoplugError, nearest


class Lazy(NamedTuple):
    """A command by `"module:object"`, with the summary that `--help` shows without importing it."""

    target: str
    summary: str


COMMANDS: Mapping[str, Lazy] = {
    "quickstart": Lazy(
        "nanoplug.cli.quickstart:quickstart", "From nothing to a small model of C++ and three completions."
    ),
    "train": Lazy("nanoplug.cli.train:train", "Train a model, or go on with a run."),
    "generate": Lazy("nanoplug.cli.generate:generate", "Complete a prompt, or fill in a middle, with a trained model."),
    "eval": Lazy("nanoplug.cli.eval:evaluate", "Measure bits per byte of a trained model."),
    "tokenizer": Lazy("nanoplug.cli.tokenizer:tokenizer", "Make a tokenizer, use it, look at it, and prove it."),
    "data": Lazy("nanoplug.cli.data:data", "Make training shards from a tree of C++."),
    "plugins": Lazy("nanoplug.cli.plugins:plugins", "List, show and check what is installed."),
    "explain": Lazy("nanoplug.cli.explain:explain", "Say which backend would serve a request, and why."),
    "bench": Lazy("nanoplug.cli.bench:bench", "Measure backends, or tokenizers, against each other."),
    "verify": Lazy("nanoplug.cli.verify:verify", "Prove one backend against the laws of its kind."),
    "new-plugin": Lazy("nanoplug.cli.new_plugin:new_plugin", "Write a plugin that passes its laws at once."),
}
_EXTRA_OF_MODULE = {
    **dict.fromkeys(("torch", "numpy", "pyarrow", "safetensors", "tomli_w", "matplotlib"), "train"),
    **dict.fromkeys(("networkx", "datasketch", "detect_secrets", "identify", "ukkonen", "license_expression"), "clang"),
    "pytest": "conformance",
    "tensorboard": "tensorboard",
    "wandb": "wandb",
}


class Failure(click.ClickException):
    """An error made on purpose, printed without a traceback; exit status 1."""

    def __init__(self, error: NanoplugError) -> None:
        super().__init__(str(error))

    def show(self, file: Any = None) -> None:
        click.echo(f"error: {self.message}", file=file or sys.stderr)


class Cli(click.Group):
    """Commands of the table, then those that plugins add."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *self._added(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, _, name = COMMANDS[cmd_name].target.partition(":")
            command: click.Command = getattr(importlib.import_module(module), name)
            return command
        return self._added(ctx).get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            near = nearest(name, self.list_commands(ctx))
            raise click.UsageError(f"unknown command {name!r}{near}.", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.summary) for name, lazy in COMMANDS.items()])
        added = self._added(ctx)
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, command.get_short_help_str(90)) for name, command in added.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except NanoplugError as error:
            raise Failure(error) from error
        except ModuleNotFoundError as error:
            extra = _EXTRA_OF_MODULE.get((error.name or "").partition(".")[0])
            if extra is None:
                raise
            missing = NanoplugError(
                f"this command needs {error.name}, which is not installed.", todo=f"pip install 'nanoplug[{extra}]'"
            )
            raise Failure(missing) from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            ctx.exit(128 + signal.SIGINT)

    def _added(self, ctx: click.Context) -> dict[str, click.Command]:
        """Commands of plugins, collected once; what is wrong with one is said on stderr."""
        if "added" not in ctx.meta:
            from nanoplug.cli.plugin_commands import collect
            from nanoplug.registry.discover import discover

            ctx.meta["added"], problems = collect(discover(), COMMANDS)
            for who, text in problems:
                click.echo(f"nanoplug: plugin {who}: {text}", err=True)
        commands: dict[str, click.Command] = ctx.meta["added"]
        return commands


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        import nanoplug

        click.echo(f"nanoplug {nanoplug.__version__}")
        ctx.exit()


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Say the version."
)
def cli() -> None:
    """Train, serve and evaluate small language models of C++ code on whatever hardware is at hand."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line on `arguments` (default: those of the process) and end the process."""
    cli.main(args=list(arguments) if arguments is not None else None, prog_name="nanoplug")


if __name__ == "__main__":
    main()
