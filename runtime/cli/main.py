"""`monastery`: finds the command, sets up the log, and turns what broke into one line and a code.

Each command is a module of this package with a typer `app`; it is imported when it is called, so
that help and short commands start quickly.
"""

import importlib
import sys
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from monastery.runtime.cli import output

COMMANDS = {
    "run": "Run a project, with progress; go on with a run that was stopped.",
    "wake": "Go on with every parked run whose answers have arrived.",
    "runs": "List the runs, the newest first.",
    "show": "Tell a run step by step.",
    "serve": "Serve the desk in a browser: questions, votes and people.",
    "audit": "Answer what waits for a person: audits, questions, deeds.",
    "plant": "Keep known-good and known-bad proposals that people are handed, and check them.",
    "dig": "Tell of the shells that people had in copies of boxes; play what was recorded.",
    "agreement": "Tell how far auditors agree, what each is like, and what they dispute.",
    "resolve": "Say what became of a step whose outcome nobody knows.",
    "forget": "End a stopped run for good, and remove the files of its box.",
    "verify": "Check a run's journal: integrity, completeness, draws, boundaries, order.",
    "train": "Train a local model in runs of a project: each audited segment is one update.",
    "boundary": "Check a learner or trainer of yours: does any training signal cross a boundary?",
    "export": "Write runs' segments and rewards, for trainers too, or a journal with proofs.",
    "key": "Print the public key that this home's checkpoints are signed with.",
    "erase": "Erase contents from a record whose proofs still hold.",
    "doctor": "Check this machine: engine, image, home, and that a real box holds.",
    "image": "Make a project's box image ahead of its runs; list those that there are.",
    "box": "Run one command in a fresh box.",
    "schema": "Print the JSON schema of project files.",
}
"""The commands in the order in which one meets them, each a module here, with what it does."""


class _Commands(TyperGroup):
    """Imports a command's module when the command is called, and not before."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"monastery.runtime.cli.{cmd_name}")
        command = typer.main.get_command(module.app)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    name="monastery",
    cls=_Commands,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from monastery.runtime.version import VERSION

        typer.echo(f"monastery {VERSION}")
        raise typer.Exit


@app.callback(
    invoke_without_command=True,
    epilog="Example: monastery run examples/repair/project.yaml. Exit codes: 0 done, 1 the run "
    "ended without success, 2 bad input, 3 this machine is not fit, 4 parked until people have "
    "answered, 130 interrupted and resumable.",
)
def monastery(
    ctx: typer.Context,
    log_level: Annotated[
        output.LogLevel, typer.Option(help="Logs from this level on go to stderr.")
    ] = output.LogLevel.warning,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Run myopic boxed agents: think in a box, propose, be frozen, perhaps audited, act outside."""
    ctx.obj.debug = debug
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())
    else:
        output.configure_logs(log_level)


def main() -> NoReturn:
    """Run the command line and exit with its code."""
    options = output.Options()
    try:
        code = _invoke(options)
    except BrokenPipeError:  # the reader of our output has gone, `| head` say; that is no fault
        code = 1
    if not output.flush():
        output.discard()
    sys.exit(code)


def _invoke(options: output.Options) -> int:
    try:
        typer.main.get_command(app)(obj=options)
    except SystemExit as exc:
        return exc.code if isinstance(exc.code, int) else 1
    except BrokenPipeError:
        raise
    except (Exception, BaseExceptionGroup) as exc:
        code = None if options.debug else output.report(exc)
        if code is None:
            raise
        return code
    return 0


if __name__ == "__main__":
    main()
