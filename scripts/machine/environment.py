"""Make the virtual environment: pinned packages, and this checkout installed editable."""

import hashlib
import importlib.util
import sys
import tempfile
import tomllib
from pathlib import Path

from .debian import Machine
from .telling import ROOT, Failed, Unfit, ask, run, taking

VENV = ROOT / ".venv"
_PYTHON = VENV / "bin" / "python"
_STAMP = VENV / "monastery.stamp"
_SOURCES = ("requirements.txt", "pyproject.toml")

_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
_HEADER = """\
# What set-up installs, version by version, for Python 3.11 and later. No addresses: where packages
# come from is the machine's business. `make pins` writes this file anew from pyproject.toml.
"""


def ensure_environment(machine: Machine) -> None:
    """Make .venv what requirements.txt and pyproject.toml say; cost nothing when it already is.

    Raises:
        Unfit: It could not be made.
    """
    stamp = environment_stamp(ROOT)
    if _PYTHON.exists() and _STAMP.exists() and _STAMP.read_text() == stamp:
        return
    _STAMP.unlink(missing_ok=True)
    usable = _runs_our_python(VENV)
    if not usable and importlib.util.find_spec("ensurepip") is None:
        name = f"python3.{sys.version_info.minor}-venv"
        lacking = f"there is no venv module for {sys.executable}"
        machine.install(name, lacking=lacking, about_seconds=10)
    try:
        with taking("installing the pinned packages into .venv", about_seconds=40):
            if not usable:
                run([sys.executable, "-m", "venv", "--clear", str(VENV)], timeout_seconds=120)
            _pip(_PYTHON, "install", "--requirement", str(ROOT / "requirements.txt"))
            editable = ("--no-deps", "--no-build-isolation", "--editable", str(ROOT))
            _pip(_PYTHON, "install", *editable)
    except Failed as exc:
        raise Unfit(f"the virtual environment could not be made: {exc}") from exc
    try:
        _pip(_PYTHON, "check")
    except Failed as exc:
        raise Unfit(f"requirements.txt does not fit pyproject.toml: {exc}; make pins") from exc
    _STAMP.write_text(stamp)


def environment_stamp(root: Path) -> str:
    """Return the digest of all that decides what .venv holds."""
    digest = hashlib.sha256(f"{sys.version} {root}".encode())
    for name in _SOURCES:
        digest.update(b"\0" + (root / name).read_bytes())
    return digest.hexdigest()


def write_pins() -> None:
    """Write requirements.txt anew: the newest versions that pyproject.toml with `dev` allows.

    Raises:
        Unfit: They could not be installed together.
    """
    try:
        with (
            taking("resolving pyproject.toml afresh", about_seconds=60),
            tempfile.TemporaryDirectory() as folder,
        ):
            python = Path(folder) / "bin" / "python"
            run([sys.executable, "-m", "venv", folder], timeout_seconds=120)
            _pip(python, "install", "--upgrade", *requirements(ROOT))
            frozen = ask([str(python), *_PIP, "freeze", "--all"], timeout_seconds=60) or ""
    except Failed as exc:
        raise Unfit(f"no set of versions could be installed: {exc}") from exc
    pins = [line for line in frozen.splitlines() if "==" in line and not line.startswith("pip==")]
    (ROOT / "requirements.txt").write_text(_HEADER + "\n".join(pins) + "\n")


def requirements(root: Path) -> list[str]:
    """Return what pyproject.toml asks for: to build, to run, and to work on the code."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    base, extras = project["project"]["dependencies"], project["project"]["optional-dependencies"]
    return [*project["build-system"]["requires"], *base, *extras["dev"]]


def _runs_our_python(venv: Path) -> bool:
    """Whether an environment is of the very Python that runs this, and stands where it was made."""
    told = ask(
        [str(venv / "bin" / "python"), "-c", "import sys; print(sys.prefix, sys.version)"],
        timeout_seconds=20,
    )
    return told == f"{venv} {sys.version}".strip()


def _pip(python: Path, *arguments: str) -> None:
    run([str(python), *_PIP, *arguments], timeout_seconds=1800)
