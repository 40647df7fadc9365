"""The kind ``command`` with real processes: no shell, bounded, and dead when its time is over."""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors.command import MARK
from monastery.runtime.executors.redaction import redact
from tests.executors.world import Faults, Make, Steps

SHOW = [sys.executable, "-c", "import json,sys; json.dump(sys.argv[1:], sys.stdout)"]


def call(command: str = "go", **arguments: Any) -> bytes:
    """Return a payload that calls a program, ``go`` unless told otherwise."""
    return json.dumps({"command": command, "arguments": arguments}).encode()


def python(code: str) -> dict[str, list[str]]:
    """Return an allow-list of one program, ``go``."""
    return {"go": [sys.executable, "-c", code]}


async def test_success_and_failure(make: Make, step: Steps) -> None:
    """Exit code 0 is done, any other failed; both outcomes tell the same fields."""
    allow = python("print('out')") | {"bad": [sys.executable, "-c", "import sys; sys.exit('why')"]}
    executor = make("command", allow=allow)
    good = await executor.execute(step("command", call()))
    assert good.status == "done"
    assert good.content == {
        "exit_code": 0,
        "stdout": "out\n",
        "stderr": "",
        "truncated": False,
        "timed_out": False,
        "argv": allow["go"],
    }
    bad = await executor.execute(step("command", call("bad")))
    assert bad.status == "failed"
    assert (bad.content["exit_code"], bad.content["stderr"]) == (1, "why\n")


@pytest.mark.parametrize(
    "value",
    ["; touch x", "$(touch x)", "a b", "*", "`id`", "{other}", "a\nb", "'", '"', "", "\u00fc"],
)
async def test_argument_is_one_element(make: Make, step: Steps, value: str) -> None:
    """An argument is put in as it is: nothing splits it, expands it or fills it again."""
    executor = make(
        "command",
        allow={"go": [*SHOW, "{target}", "--to={target}/{other}"]},
        arguments={"target": {"pattern": "(?s).*"}, "other": {"choices": ["o"]}},
    )
    outcome = await executor.execute(step("command", call(target=value, other="o")))
    assert json.loads(outcome.content["stdout"]) == [value, f"--to={value}/o"]


def test_render_shows_the_exact_argv(make: Make) -> None:
    """The reader sees each element on a line of its own, quoted, and the folder."""
    executor = make(
        "command", allow={"go": ["ls", "-l", "{x}"]}, arguments={"x": {"pattern": "(?s).*"}}
    )
    shown = executor.render(call(x='a\n  "b"'))
    assert shown.startswith('Run, without a shell:\n  "ls"\n  "-l"\n  "a\\n  \\"b\\""\nin "/')


TARGET = {"target": {"pattern": "^[a-z]+$"}, "stage": {"choices": ["-n", "test"]}}
ALLOW = {"go": ["true", "{target}"], "stage": ["true", "{stage}"], "plain": ["true"]}


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"go",
        b"[]",
        b'{"command": "go"}',
        b'{"command": "go", "command": "plain"}',
        b'{"command": 1}',
        b'{"command": "plain", "shell": true}',
        call("rm"),
        call("true"),
        call("go", target="A"),
        call("go", target="a\n"),
        call("go", target="ab c"),
        call("go", target="-n"),
        call("go", target=1),
        call("go", target=["a"]),
        call("go", target="a", more="b"),
        call("go", other="a"),
        call("plain", target="a"),
        call("stage", stage="prod"),
        call("go", target="a" * 5000),
    ],
)
def test_payload_is_refused(make: Make, payload: bytes) -> None:
    """Only the listed programs, with exactly their arguments, each within its bounds."""
    with pytest.raises(BadPayload) as caught:
        make("command", allow=ALLOW, arguments=TARGET).check(payload)
    assert "\n" not in str(caught.value)


def test_argument_becomes_no_option(make: Make) -> None:
    """A value that begins with '-' is refused where it begins an element, unless it was listed."""
    executor = make(
        "command",
        allow={"go": ["true", "{x}"], "in": ["true", "--x={x}"], "listed": ["true", "{y}"]},
        arguments={"x": {"pattern": ".*"}, "y": {"choices": ["-n"]}},
    )
    with pytest.raises(BadPayload, match="option"):
        executor.check(call("go", x="--force"))
    executor.check(call("in", x="--force"))
    executor.check(call("listed", y="-n"))


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_argument_that_no_program_can_be_given(make: Make, value: str) -> None:
    """A NUL or half a surrogate pair is refused, whatever the pattern says."""
    executor = make(
        "command", allow={"go": ["true", "{x}"]}, arguments={"x": {"pattern": "(?s).*"}}
    )
    with pytest.raises(BadPayload):
        executor.check(call("go", x=value))


ESCAPE = """
import os, sys, time
folder = sys.argv[1]
def note(name):
    with open(folder + "/" + name, "w") as file:
        file.write(str(os.getpid()))
if os.fork() == 0:
    note("child"); time.sleep(1000)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        note("daemon")
        os.close(1); os.close(2)
        time.sleep(1000)
    os._exit(0)
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
while len(os.listdir(folder)) < 2: time.sleep(0.01)
note("main")
print("started", flush=True)
time.sleep(1000)
"""


def alive(pid: int) -> bool:
    """Say whether a process runs; a zombie that waits for its parent does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


async def test_time_limit_kills_all(make: Make, step: Steps, tmp_path: Path) -> None:
    """At the time limit the program is dead, its children too, and the daemon that left it."""
    folder = tmp_path / "pids"
    folder.mkdir()
    executor = make(
        "command",
        allow={"go": [sys.executable, "-c", ESCAPE, str(folder)]},
        timeout_seconds=4.0,
    )
    outcome = await executor.execute(step("command", call()))
    pids = {path.name: int(path.read_text()) for path in folder.iterdir()}
    assert pids.keys() == {"main", "child", "daemon"}
    assert {name for name, pid in pids.items() if alive(pid)} == set()
    assert outcome.status == "failed"
    assert outcome.content["timed_out"] is True
    assert outcome.content["exit_code"] is None
    assert outcome.content["stdout"] == "started\n"


async def test_child_in_the_background_does_not_hold_the_step(
    make: Make, step: Steps, tmp_path: Path
) -> None:
    """A step ends with its program; what the program left in its session ends with it."""
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(1000)\n"
        f"while not os.path.exists({str(tmp_path / 'pid')!r}): time.sleep(0.01)\n"
        "time.sleep(0.1)\n"
    )
    outcome = await make("command", allow=python(code), timeout_seconds=50).execute(
        step("command", call())
    )
    assert outcome.status == "done"
    assert not alive(int((tmp_path / "pid").read_text()))


async def test_daemon_that_keeps_the_output_open(make: Make, step: Steps) -> None:
    """A daemon may outlive a step in time, but its hold on the output ends after a second."""
    code = "import os, time\nif os.fork() == 0:\n    os.setsid(); time.sleep(5)\n"
    code += "else: time.sleep(0.2)"
    began = time.monotonic()
    outcome = await make("command", allow=python(code)).execute(step("command", call()))
    assert outcome.status == "done"
    assert outcome.content["truncated"] is True
    assert time.monotonic() - began < 4


async def test_output_is_bounded(make: Make, step: Steps) -> None:
    """Of a flood the first bytes are kept and the rest is said to be missing; nothing blocks."""
    code = "import sys\nfor _ in range(200): sys.stdout.write('x' * 100_000)\n"
    code += "print(1, file=sys.stderr)"
    outcome = await make("command", allow=python(code), max_output=1000).execute(
        step("command", call())
    )
    assert outcome.content["stdout"] == "x" * 1000
    assert outcome.content["stderr"] == "1\n"
    assert outcome.content["truncated"] is True
    assert outcome.status == "done"


async def test_undecodable_output_is_escaped(make: Make, step: Steps) -> None:
    """Bytes that are no text are told as escapes."""
    code = "import sys; sys.stdout.buffer.write(b'a\\xff\\xc3b')"
    outcome = await make("command", allow=python(code)).execute(step("command", call()))
    assert outcome.content["stdout"] == "a\\xff\\xc3b"


async def test_surroundings(
    make: Make, step: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program finds no input, a session of its own, little environment, and the step's key."""
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("AWS_SECRET", "not for you")
    (tmp_path / "work").mkdir()
    code = (
        "import json, os, sys\n"
        "print(json.dumps([sys.stdin.read(), os.getsid(0) == os.getpid(), dict(os.environ),"
        " os.getcwd()]))"
    )
    outcome = await make("command", allow=python(code), cwd="work", env={"MODE": "dry"}).execute(
        step("command", call())
    )
    stdin, leads, env, cwd = json.loads(outcome.content["stdout"])
    env.pop("LC_CTYPE", None)  # Python itself may set this
    assert (stdin, leads, cwd) == ("", True, str(tmp_path / "work"))
    assert env == {
        "PATH": os.environ["PATH"],
        "HOME": os.environ["HOME"],
        "LANG": "C.UTF-8",
        "MODE": "dry",
        MARK: "r.1",
    }


async def test_input_is_empty(make: Make, step: Steps) -> None:
    """What stands on the runtime's own input is not the program's to read."""
    reader, writer = os.pipe()
    os.write(writer, b"typed at the terminal")
    os.close(writer)
    kept = os.dup(0)
    os.dup2(reader, 0)
    try:
        executor = make("command", allow=python("import sys; print(sys.stdin.read())"))
        outcome = await executor.execute(step("command", call()))
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(reader)
    assert outcome.content["stdout"] == "\n"


async def test_no_handle_is_inherited(make: Make, step: Steps) -> None:
    """The program gets no open file of the runtime beside its three streams."""
    code = "import os; print(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1])"
    outcome = await make("command", allow=python(code)).execute(step("command", call()))
    assert outcome.content["stdout"] == "[0, 1, 2]\n"


async def test_secrets_are_given_and_not_told(
    make: Make, step: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ``$NAME`` is resolved for the program, and taken out of what it prints, also when cut."""
    monkeypatch.setenv("DEPLOY_TOKEN", "hunter2secret")
    code = (
        "import os, sys\ntoken = os.environ['TOKEN']\n"
        "print(len(token), token)\nprint(token, file=sys.stderr)\n"
        "sys.stdout.write('x' * 50 + token)"
    )
    executor = make("command", allow=python(code), env={"TOKEN": "$DEPLOY_TOKEN"}, max_output=75)
    outcome = await executor.execute(step("command", call()))
    assert outcome.content["stdout"] == "13 [secret TOKEN]\n" + "x" * 50 + "[secret TOKEN]"
    assert outcome.content["stderr"] == "[secret TOKEN]\n"
    assert "hunter2" not in json.dumps(outcome.content)
    assert "hunter2" not in executor.render(call())


@given(
    st.lists(st.text("abx", min_size=1, max_size=5), min_size=1, max_size=3),
    st.text("abx", max_size=30),
    st.booleans(),
)
@example(values=["aa"], output="aaax", cut_off=False)
@example(values=["abx", "ab"], output="babxx", cut_off=False)
@settings(max_examples=300, deadline=None)
def test_no_secret_survives(values: list[str], output: str, cut_off: bool) -> None:
    """However secrets overlap with each other and the end, no character of one is told."""
    hidden = set()
    for value in values:
        for start in range(len(output)):
            end = start + len(value)
            if output.startswith(value, start) or (cut_off and value.startswith(output[start:])):
                hidden |= set(range(start, min(end, len(output))))
    secrets = {f"S{number}": value for number, value in enumerate(values)}
    told = redact(output.encode(), secrets, cut_off=cut_off)
    left = re.sub(r"\[secret S\d\]", "", told)
    assert left == "".join(char for at, char in enumerate(output) if at not in hidden)


async def test_missing_secret_starts_nothing(
    make: Make, step: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its secret a program is not started, and the step failed for certain."""
    monkeypatch.delenv("DEPLOY_TOKEN", raising=False)
    executor = make("command", allow=python("open('made', 'w')"), env={"T": "$DEPLOY_TOKEN"})
    outcome = await executor.execute(step("command", call()))
    assert outcome.status == "failed"
    assert "DEPLOY_TOKEN" in outcome.content["reason"]
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("program", ["./gone", "no-such-program", "./plain", "./headless"])
async def test_program_that_cannot_start(
    make: Make, step: Steps, tmp_path: Path, program: str
) -> None:
    """A program that is gone, or is none, failed for certain: it never ran."""
    (tmp_path / "plain").write_text("#!/bin/sh\n")
    (tmp_path / "headless").write_bytes(b"\0\1\2")
    (tmp_path / "headless").chmod(0o755)
    outcome = await make("command", allow={"go": [program]}).execute(step("command", call()))
    assert outcome.status == "failed"
    assert "could not be started" in outcome.content["reason"]


async def test_reconcile_runs_only_the_idempotent(make: Make, step: Steps, tmp_path: Path) -> None:
    """Of a command that may have run only a person can tell, unless running twice is harmless."""
    allow = python("open('runs', 'a').write('x')")
    assert await make("command", allow=allow).reconcile(step("command", call())) is None
    assert not (tmp_path / "runs").exists()
    outcome = await make("command", allow=allow, idempotent=True).reconcile(step("command", call()))
    assert outcome is not None
    assert outcome.status == "done"
    assert (tmp_path / "runs").read_text() == "x"


async def test_interrupt_waits_for_the_program(make: Make, step: Steps, tmp_path: Path) -> None:
    """A cancelled step is not killed halfway: what came of it would be unknown."""
    executor = make("command", allow=python("import time; time.sleep(0.2); open('made', 'w')"))
    with trio.CancelScope() as scope:
        scope.cancel()
        outcome = await executor.execute(step("command", call()))
        assert outcome.status == "done"
    assert (tmp_path / "made").exists()


def test_faults_name_field_and_mend(
    faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each setting that cannot work here is told in a line, all at once."""
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "script").write_text("")
    assert faults("command", allow=ALLOW, arguments=TARGET) == []
    found = faults(
        "command",
        allow={
            "gone": ["no-such-program"],
            "plain": ["./script"],
            "open": ["true", "{nowhere}"],
            "any": ["{x}"],
        },
        arguments={"x": {"pattern": "a"}, "unused": {"choices": ["a"]}},
        cwd="nowhere",
        env={"A": "$NOT_SET", MARK: "x", "PRICE": "$5"},
    )
    fields = sorted(fault.split(": ")[0] for fault in found)
    assert fields == [
        "allow.any",
        "allow.gone",
        "allow.open",
        "allow.plain",
        "arguments.unused",
        "cwd",
        "env.A",
        f"env.{MARK}",
    ]
    (fault,) = faults("command", allow={})
    assert fault.startswith("allow: is empty")


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"allow": {"go": []}},
        {"allow": {"Go": ["true"]}},
        {"allow": {"go": "true"}},
        {"allow": {"go": ["true"]}, "shell": True},
        {"allow": {"go": ["true"]}, "timeout_seconds": 0},
        {"allow": {"go": ["true", "{x}"]}, "arguments": {"x": {}}},
        {"allow": {"go": ["true", "{x}"]}, "arguments": {"x": {"pattern": "("}}},
        {"allow": {"go": ["true", "{x}"]}, "arguments": {"x": {"pattern": "a", "choices": ["a"]}}},
        {"allow": {"go": ["true"]}, "env": {"A=B": "x"}},
    ],
)
def test_settings_are_strict(make: Make, settings: dict[str, Any]) -> None:
    """Settings of another shape are faults when the project is read."""
    with pytest.raises(ValueError, match="validation error"):
        make("command", **settings)
