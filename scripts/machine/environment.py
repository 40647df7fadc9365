"""Make the virtual environment: pinned packages, and this checkout installed editable.

What the tests of models need is heavy, and nothing else needs it: it has pins of its own, and is
installed into the same environment when tests are set up.
"""

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
_MODELS = "requirements-models.txt"
_MODELS_STAMP = VENV / "monastery-models.stamp"

_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
_MODELS_HEADER = """\
# What the tests of models need on top of requirements.txt, version by version: PyTorch, and
# transformers with its server. `scripts/setup tests` installs it; `make pins` writes it anew.
"""
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


def ensure_models() -> None:
    """Put into .venv what requirements-models.txt says; cost nothing when it is there.

    Raises:
        Unfit: It could not be installed.
    """
    stamp = environment_stamp(ROOT, _MODELS)
    if _MODELS_STAMP.exists() and _MODELS_STAMP.read_text() == stamp:
        return
    what = "installing PyTorch and transformers for the tests of models"
    size = "1.2 GB; several where pip finds no PyTorch but the one for CUDA"
    try:
        with taking(f"{what}: {size}", about_seconds=60):
            _pip(_PYTHON, "install", "--requirement", str(ROOT / _MODELS))
        _pip(_PYTHON, "check")
    except Failed as exc:
        raise Unfit(f"the tests of models could not be set up: {exc}") from exc
    _MODELS_STAMP.write_text(stamp)


def environment_stamp(root: Path, *more: str) -> str:
    """Return the digest of all that decides what .venv holds; of more files if they are named."""
    digest = hashlib.sha256(f"{sys.version} {root}".encode())
    for name in (*_SOURCES, *more):
        digest.update(b"\0" + (root / name).read_bytes())
    return digest.hexdigest()


def write_pins() -> None:
    """Write the pins anew: the newest versions that pyproject.toml with its extras allows.

    Raises:
        Unfit: They could not be installed together.
    """
    base = ROOT / "requirements.txt"
    try:
        with (
            taking("resolving pyproject.toml afresh", about_seconds=120),
            tempfile.TemporaryDirectory() as folder,
        ):
            python = Path(folder) / "bin" / "python"
            run([sys.executable, "-m", "venv", folder], timeout_seconds=120)
            _pip(python, "install", "--upgrade", *requirements(ROOT))
            pins = _frozen(python)
            base.write_text(_HEADER + "\n".join(pins) + "\n")
            _pip(python, "install", "--constraint", str(base), *requirements(ROOT, "models"))
            more = [pin for pin in _frozen(python) if pin not in pins]
            (ROOT / _MODELS).write_text(_MODELS_HEADER + "\n".join(more) + "\n")
    except Failed as exc:
        raise Unfit(f"no set of versions could be installed: {exc}") from exc


def _frozen(python: Path) -> list[str]:
    """Return what an environment holds, as pins; which build of a version it is, is not said."""
    told = ask([str(python), *_PIP, "freeze", "--all"], timeout_seconds=60) or ""
    pins = [line.partition("+")[0] for line in told.splitlines() if "==" in line]
    return [pin for pin in pins if not pin.startswith("pip==")]


def requirements(root: Path, extra: str = "dev") -> list[str]:
    """Return what pyproject.toml asks for: to build, to run, and for one extra."""
    project = tomllib.loads((root / "pyproject.toml").read_text())
    base, extras = project["project"]["dependencies"], project["project"]["optional-dependencies"]
    return [*project["build-system"]["requires"], *base, *extras[extra]]


def _runs_our_python(venv: Path) -> bool:
    """Whether an environment is of the very Python that runs this, and stands where it was made."""
    told = ask(
        [str(venv / "bin" / "python"), "-c", "import sys; print(sys.prefix, sys.version)"],
        timeout_seconds=20,
    )
    return told == f"{venv} {sys.version}".strip()


def _pip(python: Path, *arguments: str) -> None:
    run([str(python), *_PIP, *arguments], timeout_seconds=1800)
