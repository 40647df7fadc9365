"""The desk as its users have it: `monastery serve` in a process of its own."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.conftest import MAIN, environment


@dataclass(frozen=True)
class Server:
    """A server that listens.

    Attributes:
        url: Where, with a slash at the end.
        link: Signs `person` in, once.
    """

    url: str
    link: str
    person: str


@contextmanager
def serving(home: Path, *options: str, by: str = "ada") -> Iterator[Server]:
    """Start a server on a port that is free; stop it as a person would."""
    argv = [*MAIN, "serve", "--home", str(home), "--by", by, "--port", "0", "--json", *options]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            told: dict[str, Any] = json.loads(process.stdout.readline())
            yield Server(**told)
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=60)
            finally:
                process.kill()
