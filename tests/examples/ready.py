"""What the tests of the examples share: a copy of one, and the command line in it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MONASTERY = str(Path(sys.executable).parent / "monastery")


def copied(name: str, folder: Path) -> Path:
    """Return a copy of an example, without what runs of it may have left."""
    made = folder / name
    shutil.copytree(EXAMPLES / name, made, ignore=shutil.ignore_patterns(".monastery"))
    for kept in made.glob("*/.gitignore"):
        for left in kept.parent.glob("[!.]*"):
            left.unlink()
    return made


def monastery(folder: Path, *words: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the command line in a folder."""
    return subprocess.run(
        [MONASTERY, *words],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def run(folder: Path, **variables: str) -> dict[str, Any]:
    """Run the project of a folder to its end; return what its record tells, which must be whole."""
    done = monastery(folder, "run", "project.yaml", **variables)
    told = monastery(folder, "show", "last", "--content").stdout
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:] + told[-4000:]
    return recorded(folder)


def recorded(folder: Path) -> dict[str, Any]:
    """Return what the record of the last run tells, which must be whole."""
    checked = monastery(folder, "verify", "last")
    assert checked.returncode == 0, checked.stdout
    told: dict[str, Any] = json.loads(monastery(folder, "show", "last", "--json").stdout)
    return told
