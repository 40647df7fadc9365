"""What all tests share: async ones run under trio, with a deadline."""

import inspect
import os
import signal
from functools import partial
from typing import Any

import hypothesis
import pytest
import trio
from trio.testing import MockClock

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
