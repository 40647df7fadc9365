"""What all tests share: async ones run under trio, with a deadline."""

import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import trio
from trio.testing import MockClock

from tests import model_server

# A shell has what it starts in the background ignore Ctrl-C; what the tests start must hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

DEADLINE_SECONDS = 300.0
"""When an async test counts as hung: long, since other work may share the machine."""

hypothesis.settings.register_profile(
    "house",
    deadline=None,  # how long an example takes says how busy the machine is
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
hypothesis.settings.load_profile("house")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks."""
    config.addinivalue_line("markers", "deadline(seconds): how long an async test may take")
    config.addinivalue_line("markers", "virtual: an async test whose waits take no time")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an ``async def`` test under trio; fail it when its deadline passes."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    mark = pyfuncitem.get_closest_marker("deadline")
    seconds = mark.args[0] if mark else DEADLINE_SECONDS
    virtual = pyfuncitem.get_closest_marker("virtual") is not None
    names = inspect.signature(pyfuncitem.obj).parameters
    test = partial(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names})

    async def bounded() -> None:
        # Virtual time flies: a day of it is as good a limit as a minute of the real one.
        with trio.fail_after(86400.0 * 365 if virtual else seconds):
            await test()

    clock: Any = MockClock(autojump_threshold=0.0) if virtual else None
    trio.run(bounded, clock=clock)
    return True


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The vendors' clients as their registry has them, for the box's Python."""
    folder = tmp_path_factory.mktemp("clients")
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    argv += ["--only-binary=:all:", "--python-version", "3.11", "--no-compile", "--no-deps"]
    argv += ["--requirement", str(Path(__file__).parent / "clients.txt")]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny model that has a few conversations by heart; see `tests.tiny_model`."""
    return model_server.make(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def served_model(tiny_model: Path) -> Iterator[str]:
    """The address of that model, served with OpenAI's API; its name is its folder."""
    with model_server.serving(tiny_model) as address:
        yield address
