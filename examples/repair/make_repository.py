"""Make a fresh git repository of the example's package: ``make_repository.py DEST``.

A git repository cannot lie inside ours, so it is made when it is needed. Author and date are fixed,
so that the commit has the same hash everywhere.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent / "package"
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".*_cache", "*.egg-info")
IDENTITY = {
    "GIT_AUTHOR_NAME": "Tallybook",
    "GIT_AUTHOR_EMAIL": "tallybook@example.org",
    "GIT_AUTHOR_DATE": "2024-05-01T12:00:00+0000",
    "GIT_COMMITTER_NAME": "Tallybook",
    "GIT_COMMITTER_EMAIL": "tallybook@example.org",
    "GIT_COMMITTER_DATE": "2024-05-01T12:00:00+0000",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


def make_repository(destination: Path) -> str:
    """Copy the package to a folder that does not exist yet, commit it, and return the hash."""
    shutil.copytree(PACKAGE, destination, ignore=LEFT_OUT)
    for path in destination.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    git(destination, "init", "--quiet")
    git(destination, "symbolic-ref", "HEAD", "refs/heads/main")
    git(destination, "add", "--all")
    git(destination, "commit", "--quiet", "--message", "Tallybook 0.4.0")
    return git(destination, "rev-parse", "HEAD")


def git(repository: Path, *arguments: str) -> str:
    """Run git in a repository, with nobody's settings, and return what it prints."""
    environment = {**os.environ, **IDENTITY}
    command = ["git", "-C", str(repository), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout.strip()


def main(arguments: list[str]) -> int:
    """Make the repository and print its commit."""
    if len(arguments) != 1:
        print("usage: make_repository.py DEST", file=sys.stderr)
        return 2
    destination = Path(arguments[0])
    if destination.exists():
        print(f"{destination} exists already; name a folder that does not", file=sys.stderr)
        return 2
    print(make_repository(destination))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
