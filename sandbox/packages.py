"""Fetch Debian and pip packages for an image with this machine's own apt and pip.

Both are used as they are set up here, with their mirrors, proxies and keys; nothing of the machine
is changed, and root is not needed.
"""

import importlib.util
import os
import platform
import re
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from monastery.runtime.errors import ImageUnfit


def has_apt_for(release: bytes) -> bool:
    """Whether this machine's apt is of the very release that an image's os-release names."""
    return shutil.which("apt-get") is not None and _release(_os_release()) == _release(release)


async def fetch_debian(folder: Path, names: Sequence[str], status: bytes) -> None:
    """Fetch Debian packages, and those that they need and the image lacks, into a folder.

    Args:
        folder: Gets `debian`, with the packages, unless the image has them all.
        names: The packages.
        status: The image's own list of what it has, dpkg's `status`.

    Raises:
        ImageUnfit: They cannot be had.
    """
    aside = folder / "apt"
    for name in ("state/lists/partial", "cache/archives/partial"):
        (aside / name).mkdir(parents=True)
    (aside / "status").write_bytes(status)
    options = {
        "Dir::State": aside / "state",
        "Dir::State::status": aside / "status",
        "Dir::Cache": aside / "cache",
        "APT::Sandbox::User": "",
        "APT::Update::Error-Mode": "any",
    }
    apt = ["apt-get", "--quiet", *(f"-o{name}={value}" for name, value in options.items())]
    await _run([*apt, "update"], "box.image.debian: the package lists cannot be fetched")
    more = ["--yes", "--no-install-recommends", "--download-only", "install"]
    await _run([*apt, *more, "--", *names], "box.image.debian")
    packages = folder / "debian"
    packages.mkdir()
    for file in (aside / "cache/archives").glob("*.deb"):
        file.rename(packages / file.name)
    shutil.rmtree(aside)
    if not any(packages.iterdir()):  # the image has them all
        packages.rmdir()


async def fetch_pip(folder: Path, wanted: Sequence[str], version: str) -> None:
    """Fetch wheels, those that they need and pip itself, into a folder.

    Raises:
        ImageUnfit: They cannot be had.
    """
    found = re.search(r"Python (\d+\.\d+)", version)
    if found is None:
        raise ImageUnfit(f"box.image.pip: the image has no python3; it says {version!r}")
    has_own = importlib.util.find_spec("pip") is not None
    pip = [sys.executable, "-m", "pip"] if has_own else [shutil.which("pip3") or ""]
    if not pip[0]:
        raise ImageUnfit("box.image.pip: this machine has no pip; install python3-pip")
    argv = [*pip, "--disable-pip-version-check", "download", "--quiet"]
    argv += ["--only-binary=:all:", "--python-version", found[1], "--dest", str(folder / "pip")]
    await _run([*argv, "--", "pip", *wanted], "box.image.pip")


async def _run(argv: list[str], what: str) -> None:
    """Run a program to its end.

    Raises:
        ImageUnfit: It failed; the message is the line that says most.
    """
    quiet = {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "PIP_NO_INPUT": "1"}
    quiet |= {"PYTHONWARNINGS": "ignore"}  # what pip warns of itself ends no build
    run = partial(trio.run_process, argv, env=os.environ | quiet, check=False)
    done = await run(capture_stdout=True, capture_stderr=True)
    if done.returncode:
        raise ImageUnfit(f"{what}: {last((done.stdout + done.stderr).decode('utf-8', 'replace'))}")


def last(said: str) -> str:
    """Return, in one line, what a program's output says that went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line[:200] for line in lines if re.match(r"(E|ERROR|error)\b(?!: Exception:$)", line)]
    told = "; ".join(errors[-3:]) or (lines or ["it said nothing"])[-1][:400]
    return re.sub(r"//[^/@\s]+@", "//", told)  # the address of a mirror may hold a password


def _os_release() -> bytes:
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return b""
    return "".join(f"{name}={value}\n" for name, value in found.items()).encode()


def _release(text: bytes) -> str:
    """Return a system's name and its release's, from its os-release."""
    said = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text.decode("utf-8", "replace"), re.MULTILINE))
    return f"{said.get('ID')} {said.get('VERSION_CODENAME')}"
