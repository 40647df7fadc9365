"""`monastery box`: one command in a fresh box."""

import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import trio
import typer

from monastery.runtime import project_file
from monastery.runtime.cli import compose, output
from monastery.runtime.display import visible
from monastery.runtime.errors import BadInput
from monastery.runtime.project import STANDARD_IMAGE
from monastery.runtime.project_file import size_bytes
from monastery.runtime.records import BoxSpec, CommandResult, RunId
from monastery.runtime.runner import spec_of

TIMED_OUT = 124
_MOST_STDIN_BYTES = 64 << 20

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    context_settings={"allow_interspersed_args": False},
    epilog="Examples: monastery box -- python3 -c 'import os; print(os.getuid())'; monastery box "
    "--project examples/repair/project.yaml -- ls -la; monastery box --weak -- id",
)
def box(
    command: Annotated[list[str], typer.Argument(help="The command and its arguments, after --.")],
    image: Annotated[
        str | None, typer.Option(help=f"Box image. Default: {STANDARD_IMAGE}.")
    ] = None,
    memory: Annotated[str | None, typer.Option(metavar="SIZE", help="For example 512MiB.")] = None,
    cpus: Annotated[float | None, typer.Option(min=0.01, help="How many CPUs.")] = None,
    pids: Annotated[int | None, typer.Option(min=16, help="How many processes.")] = None,
    disk: Annotated[str | None, typer.Option(metavar="SIZE", help="For example 1GiB.")] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.001, help="How long the command may run.")
    ] = 3600.0,
    max_output: Annotated[
        str, typer.Option(metavar="SIZE", help="How much of stdout and stderr is passed on, each.")
    ] = "16MiB",
    project: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Take image, limits and files from this project."),
    ] = None,
    weak: Annotated[
        bool,
        typer.Option(
            "--weak",
            help="A deliberately weak container, as the engine makes them by default: network, "
            "root, no limits. The positive control of a containment probe.",
        ),
    ] = False,
) -> None:
    """Run one command in a fresh box.

    Its stdin is passed in to its end (at most 64 MiB), its stdout and stderr are passed out, and
    its exit code is passed on: 124 on the time limit, 128 plus the number for a signal. On a
    terminal, control characters are made visible. Nothing of the box is kept.
    """
    spec = BoxSpec(image=STANDARD_IMAGE)
    if project is not None:
        loaded = project_file.load(project)
        spec = spec_of(loaded.project, loaded.folder)
    limits = spec.limits
    limits = replace(
        limits,
        memory_bytes=limits.memory_bytes if memory is None else size_bytes(memory, "--memory"),
        cpus=limits.cpus if cpus is None else cpus,
        pids=limits.pids if pids is None else pids,
        disk_bytes=limits.disk_bytes if disk is None else size_bytes(disk, "--disk"),
    )
    spec = replace(spec, limits=limits)
    if image is not None:
        spec = replace(spec, image=image, packages=None)
    kept = size_bytes(max_output, "--max-output")
    stdin = _stdin()
    run = RunId(f"box-{secrets.token_hex(4)}")
    if weak:
        result = trio.run(_in_weak, run, spec, command, stdin, timeout, kept)
    else:
        result = trio.run(_in_box, run, spec, command, stdin, timeout, kept)
    raise typer.Exit(_pass_on(result, timeout))


async def _in_box(
    run: RunId,
    spec: BoxSpec,
    argv: list[str],
    stdin: bytes,
    timeout_seconds: float,
    max_output_bytes: int,
) -> CommandResult:
    sandbox = compose.sandbox()
    try:
        async with sandbox.open(run, spec) as opened:
            return await opened.run(
                argv,
                stdin=stdin,
                timeout_seconds=timeout_seconds,
                max_output_bytes=max_output_bytes,
            )
    finally:
        with trio.CancelScope(shield=True):
            await sandbox.forget(run)


async def _in_weak(
    run: RunId,
    spec: BoxSpec,
    argv: list[str],
    stdin: bytes,
    timeout_seconds: float,
    max_output_bytes: int,
) -> CommandResult:
    return await compose.run_weak(
        run,
        await compose.image(spec),
        argv,
        stdin=stdin,
        timeout_seconds=timeout_seconds,
        max_output_bytes=max_output_bytes,
    )


def _stdin() -> bytes:
    if sys.stdin is None or sys.stdin.isatty():
        return b""
    stdin = sys.stdin.buffer.read(_MOST_STDIN_BYTES + 1)
    if len(stdin) > _MOST_STDIN_BYTES:
        raise BadInput(f"stdin holds more than {output.size(_MOST_STDIN_BYTES)}; pass less")
    return stdin


def _pass_on(result: CommandResult, timeout_seconds: float) -> int:
    """Write out what the command wrote, say what is missing, and return its exit code."""
    for stream, kept, seen in (
        (sys.stdout, result.stdout, result.stdout_seen_bytes),
        (sys.stderr, result.stderr, result.stderr_seen_bytes),
    ):
        if stream.isatty():  # what a box wrote must not command the terminal
            stream.write(visible(kept, max_lines=None, max_columns=None))
        else:
            stream.buffer.write(kept)
        stream.flush()
        if seen > len(kept):
            name = "stdout" if stream is sys.stdout else "stderr"
            missing = f"{seen - len(kept)} of {seen} bytes of {name} are not passed on"
            output.note(f"monastery: {missing}; raise --max-output")
    if result.exit_code is None:
        output.note(f"monastery: killed after {timeout_seconds:g} s; raise --timeout")
        return TIMED_OUT
    return result.exit_code if result.exit_code >= 0 else 128 - result.exit_code
