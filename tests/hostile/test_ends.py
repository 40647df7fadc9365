"""Death is typed and truncation is data; whatever an agent leaves behind dies with it."""

import contextlib
from pathlib import Path
from typing import Any

import pytest

from monastery.runtime.errors import MonasteryError
from monastery.runtime.ports import Desk
from monastery.runtime.records import AgentExited
from monastery.runtime.run import World
from monastery.runtime.runner import cause, go
from monastery.sandbox.box import DockerSandbox
from tests.runtime.world import Small

DEATHS = {
    "died": ("died", False, "run.interrupted"),
    "out of memory": ("died", True, "run.interrupted"),
    "misbehaved": ("misbehaved", False, "run.ended"),
    "limit": ("limit exceeded", False, "run.ended"),
    "not frozen": ("not frozen", False, "run.ended"),
}


@pytest.mark.virtual
@pytest.mark.parametrize("death", DEATHS)
async def test_each_death_is_an_event_of_its_own(tmp_path: Path, death: str) -> None:
    """How a box broke, and whether of its memory, is a field and not a sentence."""

    async def agent(inside: Any) -> int:
        match death:
            case "died":
                await inside.die()
            case "out of memory":
                await inside.die(out_of_memory=True)
            case "misbehaved":
                await inside.misbehave()
            case "limit":
                await inside.exceed()
        inside.refuse_freeze()
        await inside.propose("note", "x", "because")
        return 0

    small = Small(tmp_path, agent)
    how, out_of_memory, then = DEATHS[death]
    with contextlib.suppress(ExceptionGroup):  # what can go on is raised, the rest is an ending
        assert not (await small.live(small.new())).success
    (died,) = small.events("box.died")
    assert (died.how, died.out_of_memory) == (how, out_of_memory)
    assert died.reason
    assert small.types[-1] == then
    assert small.types.index("box.died") < small.types.index(then)


EAT = "x = []\nwhile True: x.append(bytearray(b'1') * (8 << 20))"


async def lived(home: Path, image: str, program: str, **box: Any) -> Small:
    """Live a run of this program in a real box, however it ends."""
    (home / "agent.py").write_text(program)
    files = [{"from": "agent.py", "to": "agent.py"}]
    extra = {
        "agent": {"command": ["python3", "-u", "agent.py"]},
        "box": {"image": image, "files": files, **box},
    }
    small = Small(home, None, rate=0.0, extra=extra)  # type: ignore[arg-type]

    def build(desk: Desk, calls: int) -> World:
        return World(DockerSandbox(), [], {"note": small.notebook}, None)

    try:
        await go(home, small.new(), small.loaded, build, small.told.append)
    except BaseException as exc:
        if not isinstance(cause(exc), MonasteryError):
            raise
    return small


async def test_a_real_memory_bomb_is_told_as_one(tmp_path: Path, image: str) -> None:
    """The kernel kills the agent: the journal says that it was memory, and which limit."""
    small = await lived(tmp_path, image, EAT, memory=96 << 20)
    (died,) = small.events("box.died")
    assert (died.how, died.out_of_memory) == ("limit exceeded", True)
    assert small.types[-1] == "run.ended"


async def test_a_flood_of_thoughts_is_cut_and_counted(tmp_path: Path, image: str) -> None:
    """What was printed and what is kept are two numbers in the record."""
    text = "import sys\nfor _ in range(300): print('x' * 99_999)\nsys.exit(3)"
    small = await lived(tmp_path, image, text, transcript=5000)
    (printed,) = small.events("segment.printed")
    assert (printed.seen_bytes, printed.text.size_bytes) == (30_000_000, 5000)


async def test_both_streams_of_a_command_are_counted(opened, image):
    """A command that floods both its outputs: four numbers, each true."""
    text = "head -c 7000000 /dev/zero; head -c 9000000 /dev/zero >&2"
    async with opened(DockerSandbox()) as box:
        done = await box.run(["sh", "-c", text], max_output_bytes=1000)
    assert (done.stdout_seen_bytes, done.stderr_seen_bytes) == (7_000_000, 9_000_000)
    assert (len(done.stdout), len(done.stderr), done.truncated) == (1000, 1000, True)


ESCAPES = """
import os, subprocess, sys, time
def daemon(*wrap):
    subprocess.Popen([*wrap, "sleep", "98737"], start_new_session=True, env={})
daemon(); daemon("setsid"); daemon("nohup"); daemon("env", "-i")
for _ in range(5):  # orphans of orphans in sessions of their own
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            os.execve("/usr/bin/sleep", ["sleep", "98737"], {})
        os._exit(0)
if os.fork() == 0:  # and one that never stops to fork
    os.setsid()
    while True:
        if os.fork(): os._exit(0)
time.sleep(0.2)
"""


async def test_no_session_or_fork_escapes_the_end(opened, image, program):
    """Daemons, orphans, emptied environments, a runaway forker: after the end only the guest is."""
    async with opened(DockerSandbox()) as box:
        await program(box, ESCAPES)
        assert isinstance(await box.receive(), AgentExited)
        alive = (box._freezer._folder / "cgroup.procs").read_text().split()
        assert len(alive) == 1
        done = await box.run(["python3", "-c", ESCAPES], timeout_seconds=30)
        assert done.exit_code == 0
        assert (box._freezer._folder / "cgroup.procs").read_text().split() == alive


FORGE = """
import os
for path in ("/proc/1/fd/1", "/proc/1/fd/0", "/proc/1/fd/2", "/proc/1/mem"):
    try:
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, b'{"op":"exited","code":0}\\n')
        print("forged", path)
    except OSError as error:
        print(error.errno)
"""


async def test_no_child_forges_the_channel(opened, image, program):
    """Process 1's descriptors cannot be opened by the same user: EACCES for each."""
    async with opened(DockerSandbox()) as box:
        await program(box, FORGE + "raise SystemExit(7)")
        assert await box.receive() == AgentExited(7)
        assert box.take_transcript().text == b"13\n" * 4
