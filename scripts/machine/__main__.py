"""The command line of set-up.

Exit codes: 0 ready, 2 bad arguments, 3 the machine is not fit, 130 interrupted.
"""

import argparse
import contextlib
import fcntl
import os
import shutil
import sys
from collections.abc import Iterator

from .debian import Machine, ensure_chromium, ensure_sshd
from .engine import ensure_engine, stop_engine
from .environment import ensure_environment, ensure_models, write_pins
from .image import RECIPE, ensure_image, image_tag
from .telling import BUILD, Failed, Unfit, say

_PARTS = {
    "all": "git, the virtual environment, the engine and the image",
    "venv": "git and the virtual environment",
    "engine": "a Docker engine that answers",
    "image": "the box image; its engine too",
    "tests": "what only the tests need: OpenSSH's server, Chromium, PyTorch and transformers",
    "pins": "write requirements.txt and requirements-models.txt anew",
}


def main() -> int:
    """Do what the command line says; return the exit code."""
    asked = _arguments()
    if asked.tag:
        print(image_tag(RECIPE))
        return 0
    # The launcher's way to find this package is not the business of the programs run from here.
    os.environ.pop("PYTHONPATH", None)
    try:
        with _alone():
            if asked.stop:
                stop_engine()
            else:
                _ensure(asked.part, Machine.here(no_install=asked.no_install), asked.way)
    except (Unfit, Failed) as exc:
        say(str(exc))
        return 3
    except KeyboardInterrupt:
        say("interrupted; run it again to go on")
        return 130
    return 0


def _ensure(part: str, machine: Machine, way: str | None) -> None:
    if part in {"all", "venv"} and shutil.which("git") is None:
        machine.install("git", lacking="there is no git", about_seconds=10)
    if part == "pins":
        write_pins()
    if part == "tests":
        ensure_sshd(machine)
        ensure_chromium(machine)
    if part in {"all", "venv", "tests"}:
        ensure_environment(machine)
    if part == "tests":
        ensure_models()
    if part in {"all", "engine", "image"}:
        started = ensure_engine(machine)
        if part != "engine":
            ensure_image(machine, (way,) if way else ("registry", "packages"), try_it=started)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let one set-up of this checkout work at a time; a second one waits and then finds it done."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up is at work here: waiting for it …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/setup",
        description="Make this machine ready for Monastery. What is ready already is left alone.",
        epilog="parts: " + "; ".join(f"{name}: {what}" for name, what in _PARTS.items()),
    )
    parser.add_argument("part", nargs="?", choices=_PARTS, default="all")
    parser.add_argument(
        "--no-install", action="store_true", help="only name missing system packages"
    )
    parser.add_argument(
        "--stop", action="store_true", help="engine: stop the one that set-up started"
    )
    parser.add_argument(
        "--way", choices=("registry", "packages"), help="image: build it this way only"
    )
    parser.add_argument("--tag", action="store_true", help="image: print its tag and do nothing")
    asked = parser.parse_args()
    for option, part in (("stop", "engine"), ("way", "image"), ("tag", "image")):
        if getattr(asked, option) and asked.part != part:
            parser.error(f"--{option} belongs to {part!r}, not to {asked.part!r}")
    return asked


if __name__ == "__main__":
    sys.exit(main())
