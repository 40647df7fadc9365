"""Hostile and broken programs: each is no measurement, and nothing of it is left."""

import sys
import textwrap
from functools import partial
from subprocess import PIPE
from typing import Any

import pytest
import trio

from monastery.runtime.errors import AuditFailed
from monastery.runtime.records import Case
from tests.auditor.programs import Programs

NONSENSE = {
    "not json": ("print('approve')", "not JSON"),
    "not utf-8": ("sys.stdout.buffer.write(bytes([255, 10]))", "not JSON"),
    "an array": ("say([1])", "not an object"),
    "no verb": ("say({'voted': 1})", "one of run, write, read and vote"),
    "two verbs": ("say({'run': ['x'], 'read': 'x'})", "one of run, write, read and vote"),
    "empty line": ("print(); vote()", "not JSON"),
    "unknown field in a vote": ("vote(confidence=1)", "vote.confidence"),
    "unknown field beside a vote": (
        "say({'vote': {'decision': 'approve', 'score': 1}, 'x': 1})",
        "x: Extra inputs",
    ),
    "unknown field in a request": ("say({'run': ['x'], 'shell': True})", "shell"),
    "score too high": ("vote(score=1.01)", "vote.score"),
    "score negative": ("vote(score=-0.0001)", "vote.score"),
    "score NaN": ('print(\'{"vote": {"decision": "approve", "score": NaN}}\')', "NaN"),
    "score huge": ('print(\'{"vote": {"decision": "approve", "score": 1e999}}\')', "score"),
    "score as text": ("vote(score='0.5')", "vote.score"),
    "score true": ("vote(score=True)", "vote.score"),
    "score null": ("vote(score=None)", "vote.score"),
    "score missing": ("say({'vote': {'decision': 'approve'}})", "vote.score"),
    "score twice": (
        'print(\'{"vote": {"decision": "approve", "score": 0, "score": 1}}\')',
        "named twice",
    ),
    "unknown decision": ("vote(decision='allow')", "vote.decision"),
    "expired, which only the clock gives": ("vote(decision='expired')", "vote.decision"),
    "modify without bytes": ("vote(decision='modify')", "modified_base64"),
    "bytes without modify": ("vote(modified_base64='')", "goes with modify"),
    "bytes that are not base64": (
        "vote(decision='modify', modified_base64='@@@')",
        "not base64",
    ),
    "note with half a character": ("vote(note='\\ud800')", "vote.note"),
    "note too long": ("vote(note='x' * 200_000)", "vote.note"),
    "NUL in an argument": ("say({'run': ['a\\0b']})", "NUL"),
    "no command": ("say({'run': []})", "run"),
    "time without end": ('print(\'{"run": ["x"], "timeout_seconds": 1e999}\')', "timeout"),
    "mode with setuid": ("say({'write': 'x', 'content_base64': '', 'mode': 0o4755})", "mode"),
    "nested deeply": ("print('[' * 100_000)", "nested too deeply|not JSON"),
    "voted twice": ("vote(); vote()", "more after its vote"),
    "talked after the vote": ("vote(); print('thanks')", "more after its vote"),
    "blank after the vote": ("vote(); print()", "more after its vote"),
    "no vote": ("pass", "exit code 0 and no vote"),
    "exit code": ("vote(); sys.exit(3)", "exit code 3"),
    "exception": ("1 / 0", "exit code 1 and no vote; its last words: 'ZeroDivisionError"),
    "signal": ("os.kill(os.getpid(), 9)", "exit code 137 and no vote"),
    "signal after the vote": ("vote(); os.kill(os.getpid(), 9)", "exit code 137"),
    "closed its output": ("os.close(1); time.sleep(600)", "closed its output without a vote"),
}


@pytest.mark.parametrize(("source", "reason"), NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_no_measurement(
    source: str, reason: str, programs: Programs, case: Case, box: Any
) -> None:
    """Whatever is not exactly one vote and exit code 0 fails, in one line that says why."""
    with pytest.raises(AuditFailed, match=reason) as failed:
        await programs.auditor(source).judge(case, box)
    assert "\n" not in str(failed.value)
    assert len(str(failed.value)) < 1000
    assert str(failed.value).startswith("auditor 'robot' ")
    assert programs.alive() == []


async def test_long_line_is_refused(programs: Programs, case: Case, box: Any) -> None:
    """A line of more than 64 MiB fails; it is not collected without end."""
    source = """
    while True: sys.stdout.write("x" * (1 << 20))
    """
    with pytest.raises(AuditFailed, match="longer than 67108864 bytes"):
        await programs.auditor(source, timeout_seconds=250).judge(case, box)
    assert programs.alive() == []


async def test_endless_program_is_ended(programs: Programs, case: Case, box: Any) -> None:
    """The time limit ends a program that ignores every polite signal; its last words are told."""
    source = """
    for number in range(1, 32):
        if number not in (9, 19): signal.signal(number, signal.SIG_IGN)
    ask({"run": ["pwd"]})
    print("still thinking", file=sys.stderr, flush=True)
    while True: time.sleep(600)
    """
    with pytest.raises(AuditFailed, match=r"10 s; its last words: 'still thinking'"):
        await programs.auditor(source, timeout_seconds=10.0).judge(case, box)
    assert programs.alive() == []
    assert box.open_forks == 0


async def test_late_end_is_no_vote(programs: Programs, case: Case, box: Any) -> None:
    """A program that votes and then does not end has not given its vote."""
    source = "vote(); os.close(1); time.sleep(600)"
    with pytest.raises(AuditFailed, match=r"no vote within 0.5 s"):
        await programs.auditor(source, timeout_seconds=0.5).judge(case, box)
    assert programs.alive() == []


DAEMON = """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)", MARK],
                         start_new_session=True, env={})
"""


async def test_daemon_is_killed(programs: Programs, case: Case, box: Any) -> None:
    """A child in a session of its own that holds standard output neither delays nor survives."""
    vote = await programs.auditor(DAEMON + "vote()").judge(case, box)
    assert vote.decision == "approve"
    assert programs.alive() == []


async def test_double_forked_daemon_is_killed(programs: Programs, case: Case, box: Any) -> None:
    """A grandchild whose parents are dead, in a session of its own, dies too, at the time limit."""
    source = """
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            say({"run": ["pwd"]})
            time.sleep(600)
        os._exit(0)
    os.wait()
    time.sleep(600)
    """
    with pytest.raises(AuditFailed, match="no vote within"):
        await programs.auditor(source, timeout_seconds=10.0).judge(case, box)
    assert programs.alive() == []


async def test_crowd_is_killed(programs: Programs, case: Case, box: Any) -> None:
    """Processes that keep forking are killed to the last."""
    source = """
    for _ in range(20):
        if os.fork() == 0:
            while True:
                if os.fork() == 0: os.setsid()
                else: time.sleep(0.01)
                if len(os.listdir("/proc")) > 400: time.sleep(600)
    vote()
    """
    assert (await programs.auditor(source).judge(case, box)).decision == "approve"
    assert programs.alive() == []


async def test_cancelled_audit_leaves_nothing(programs: Programs, case: Case, box: Any) -> None:
    """When the audit is called off, the program, its daemon and the fork are gone at once."""
    auditor = programs.auditor(DAEMON + 'ask({"run": ["pwd"]}); time.sleep(600)')
    async with trio.open_nursery() as nursery:
        nursery.start_soon(auditor.judge, case, box)
        await box.asked.wait()
        assert len(programs.alive()) >= 2
        nursery.cancel_scope.cancel()
    assert programs.alive() == []
    assert (box.forks, box.open_forks) == (1, 0)


async def test_dead_runtime_leaves_nothing(programs: Programs) -> None:
    """When the runtime is killed with -9, the program dies as well."""
    programs.auditor(DAEMON + "print('ready', file=sys.stderr, flush=True); time.sleep(600)")
    source = """
    import sys, trio
    from pathlib import Path
    from monastery.auditor.process import started
    async def main():
        argv = [sys.executable, "judge.py", sys.argv[1]]
        async with started(argv, Path(), most_line_bytes=100) as program:
            print((await program._err.receive_some()).decode(), end="", flush=True)
            await trio.sleep_forever()
    trio.run(main)
    """
    async with trio.open_nursery() as nursery:
        start = partial(
            trio.run_process,
            [sys.executable, "-c", textwrap.dedent(source), programs.mark],
            cwd=programs.folder,
            stdout=PIPE,
            check=False,
        )
        runtime: trio.Process = await nursery.start(start)
        assert runtime.stdout is not None
        assert (await runtime.stdout.receive_some()).strip() == b"ready"
        assert len(programs.alive()) >= 3
        runtime.kill()
        with trio.fail_after(120):
            while programs.alive():
                await trio.lowlevel.checkpoint()


async def test_flood_of_complaints(programs: Programs, case: Case, box: Any) -> None:
    """100 MB on standard error neither block the program nor fill our memory."""
    source = """
    for _ in range(100): sys.stderr.write("x" * 1_000_000)
    sys.stderr.write("\\n\\x1b[31mthe end\\n")
    sys.exit(7)
    """
    with pytest.raises(AuditFailed, match=r"exit code 7 .* last words: '\\x1b\[31mthe end'"):
        await programs.auditor(source, timeout_seconds=250).judge(case, box)
