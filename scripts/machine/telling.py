"""Say what happens: one line a person, every detail into a log file."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
BUILD = ROOT / "build"
"""Everything that can be made again; git ignores it."""
LOG = BUILD / "setup.log"
"""Where the output of every program goes that set-up runs."""


class Unfit(Exception):
    """The machine lacks what set-up cannot or may not provide: one line, with the mend."""


class Failed(Exception):
    """A program that set-up ran did not succeed."""

    def __init__(self, argv: Sequence[str], why: str, tail: str) -> None:
        self.tail = tail
        super().__init__(f"{argv[0]} {why}: {tail or 'it said nothing'} (all of it: {LOG})")


def say(line: str) -> None:
    """Tell the person at the terminal one line, and the log too."""
    print(f"setup: {line}", file=sys.stderr, flush=True)
    with _log() as log:
        log.write(f"# {line}\n")


@contextlib.contextmanager
def taking(what: str, *, about_seconds: float) -> Iterator[None]:
    """Announce what takes longer than a second, and say how long it took when it succeeded."""
    say(f"{what} (about {about_seconds:.0f} s) …")
    started = time.monotonic()
    yield
    say(f"… done in {time.monotonic() - started:.1f} s")


def run(
    argv: Sequence[str],
    *,
    timeout_seconds: float,
    env: Mapping[str, str] | None = None,
    input_text: str | None = None,
) -> None:
    """Run a program, its output into the log.

    Raises:
        Failed: It ended with another code than 0, ran into its deadline, or could not be started.
    """
    with _log() as log:
        log.write(f"$ {' '.join(argv)}\n")
        log.flush()
        begin = log.tell()
        try:
            done = subprocess.run(
                argv,
                check=False,
                env=env,
                input=None if input_text is None else input_text.encode(),
                stdin=subprocess.DEVNULL if input_text is None else None,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=timeout_seconds,
            )
        except subprocess.TimeoutExpired as exc:
            why = f"was not done after {timeout_seconds:.0f} s"
            raise Failed(argv, why, last_lines(LOG, begin)) from exc
        except OSError as exc:
            raise Failed(argv, "could not be started", str(exc)) from exc
        if done.returncode:
            raise Failed(argv, f"ended with {done.returncode}", last_lines(LOG, begin))


def ask(
    argv: Sequence[str], *, timeout_seconds: float, env: Mapping[str, str] | None = None
) -> str | None:
    """Return what a program prints, or None when it fails, hangs or does not exist."""
    try:
        done = subprocess.run(
            argv,
            check=False,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def last_lines(path: Path, begin: int = 0, count: int = 3) -> str:
    """Return the last lines of a file from byte `begin` on, joined into one."""
    try:
        text = path.read_bytes()[begin:].decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(lines[-count:])[-800:]


def _log() -> TextIO:
    BUILD.mkdir(exist_ok=True)
    return LOG.open("a", encoding="utf-8")
