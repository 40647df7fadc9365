"""A real server with OpenAI's API and a real model behind it: `transformers serve`, on loopback."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
SERVE = str(Path(sys.executable).parent / "transformers")


def alone() -> Mapping[str, str]:
    """Return an environment in which a program that loads models asks no hub, and shows no bars."""
    return {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "OMP_NUM_THREADS": "1",
    }


def make(folder: Path, *options: str) -> Path:
    """Make a tiny model in a process of its own: torch stays out of this one."""
    argv = [sys.executable, "-m", "tests.tiny_model", str(folder), *options]
    done = subprocess.run(argv, cwd=ROOT, env=alone(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a model; yield the address, as far as ``/v1``. The model's name is its folder."""
    argv = [SERVE, "serve", str(folder), "--host", "127.0.0.1", "--port", "0", "--device", "cpu"]
    with subprocess.Popen(
        argv, env=alone(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr is not None, "a pipe"
        told, address = [], None
        while address is None:
            told.append(server.stderr.readline())
            assert told[-1], "transformers serve ended: " + "".join(told)[-3000:]
            address = re.search(r"running on (http://127\.0\.0\.1:\d+)", told[-1])
        # What it says further must be read, or it would wait for us one day.
        reader = threading.Thread(target=server.stderr.read)
        reader.start()
        try:
            yield f"{address[1]}/v1"
        finally:
            server.kill()
            reader.join()
