"""A peer's idea of what a sandbox is: Inspect AI's own 44 checks hold for our boxes."""

import subprocess
import sysconfig
import venv
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = ROOT / "build" / "peers"
PEERS = ["inspect-ai==0.3.285", "pytest==9.2.0"]
PASSED, UNSUPPORTED = 43, 1


@pytest.fixture(scope="session")
def peers() -> Path:
    """The Python of an environment with Inspect AI, made once (a minute) and kept in build/."""
    python, done = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "-".join(PEERS)
    if not done.exists():
        venv.create(ENVIRONMENT, clear=True, with_pip=True)
        argv = [str(python), "-m", "pip", "install", "--quiet", *PEERS]
        installed = subprocess.run(argv, capture_output=True, text=True, check=False)
        if installed.returncode != 0:
            pytest.fail(f"Inspect AI cannot be installed: {installed.stderr[-500:]}")
        done.touch()
    # Its own packages come first; ours are there for what it has not.
    ours = sysconfig.get_paths()["purelib"]
    (folder,) = ENVIRONMENT.glob("lib/python*/site-packages")
    (folder / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    return python


def test_inspects_checks_of_sandboxes_hold(peers: Path, image: str, tmp_path: Path) -> None:
    """43 pass on trio in a real box; one wants users, which a box has not, and is declared."""
    report = tmp_path / "report.xml"
    argv = [str(peers), "-m", "pytest", "--noconftest", "-c", "/dev/null", "--rootdir", str(ROOT)]
    argv += ["-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    argv += ["tests/peers/inspect_checks.py"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400)
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    expected = {
        "tests": PASSED + UNSUPPORTED,
        "failures": 0,
        "errors": 0,
        "skipped": UNSUPPORTED,  # what is declared, and did fail: strict xfail
    }
    assert counts == expected, done.stdout + done.stderr
