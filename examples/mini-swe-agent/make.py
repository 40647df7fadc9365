"""Lay the example out in a folder: ``make.py FOLDER``, which must not exist.

`lib` gets the pinned packages for the box's Python, from wherever
pip is set up to have them; `repository` a fresh git repository of the package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent
BOX_PYTHON = "3.11"
IDENTITY = {
    "GIT_AUTHOR_NAME": "Units",
    "GIT_AUTHOR_EMAIL": "units@example.org",
    "GIT_AUTHOR_DATE": "2024-05-01T12:00:00+0000",
    "GIT_COMMITTER_NAME": "Units",
    "GIT_COMMITTER_EMAIL": "units@example.org",
    "GIT_COMMITTER_DATE": "2024-05-01T12:00:00+0000",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def make(folder: Path) -> None:
    """Lay it out."""
    folder.mkdir(parents=True)
    for name in ("project.yaml", "script.jsonl", "agent.py"):
        shutil.copy(EXAMPLE / name, folder)
    shutil.copytree(EXAMPLE / "tasks", folder / "tasks")
    make_repository(folder / "repository")
    make_lib(folder / "lib")


def make_lib(folder: Path) -> None:
    """Unpack the pinned wheels; nothing of them is run here."""
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    argv += ["--target", str(folder), "--no-deps", "--no-compile", "--only-binary=:all:"]
    argv += ["--python-version", BOX_PYTHON, "--requirement", str(EXAMPLE / "requirements.txt")]
    subprocess.run(argv, check=True)
    shutil.rmtree(folder / "bin", ignore_errors=True)  # they name this machine's Python


def make_repository(folder: Path) -> None:
    """Commit the package; the commit's hash is the same everywhere."""
    shutil.copytree(EXAMPLE / "package", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    for arguments in (
        ["init", "--quiet"],
        ["symbolic-ref", "HEAD", "refs/heads/main"],
        ["add", "--all"],
        ["commit", "--quiet", "--message", "Units 0.1.0"],
    ):
        subprocess.run(["git", "-C", folder, *arguments], check=True, env=os.environ | IDENTITY)


def main(arguments: list[str]) -> int:
    """Lay it out and say what to do next."""
    if len(arguments) != 1:
        print("usage: make.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    if folder.exists():
        print(f"{folder} exists already; name a folder that does not", file=sys.stderr)
        return 2
    make(folder)
    print(f"monastery run {folder / 'project.yaml'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
