"""Frozen means that nothing runs: not the agent, not its children, not the guest."""

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
import trio

from monastery.runtime.errors import BoxDied, FreezeFailed
from monastery.sandbox import cgroup
from monastery.sandbox.freezer import CgroupV1, CgroupV2, EnginePause, find_freezer
from monastery.sandbox.unboxed import SignalFreezer

SPIN = """
import os
count = 0
while True:
    count += 1
    with open("counter.new", "w") as file: file.write(str(count))
    os.rename("counter.new", "counter")
    if count == 3: print("spinning")
"""

FORKERS = """
import mmap, os, subprocess
with open("ticks", "wb+") as file:
    file.write(bytes(4096))
    file.flush()
    ticks = mmap.mmap(file.fileno(), 4096)
def tick(turn):
    at = turn * 8
    ticks[at : at + 8] = (int.from_bytes(ticks[at : at + 8], "little") + 1).to_bytes(8, "little")
for turn in range(6):
    if os.fork() == 0:
        while True:
            tick(turn)
            if turn == 0:
                continue
            if turn % 2:
                child = os.fork()
                if child == 0: os._exit(0)
                os.waitpid(child, 0)
            else:
                subprocess.run(["true"])  # vfork, in which a v1 freeze can stick
import monastery_box
monastery_box.model({})
import time; time.sleep(98731)
"""


async def spinning(box, program):
    """Start a program that counts, and wait until it does."""
    await program(box, SPIN)
    printed = b""
    while b"spinning" not in printed:
        await box.run(["true"])
        printed += box.take_transcript().text


async def counted(box):
    """Return how far it has come, seen by the host through a fork."""
    async with box.fork() as fork:
        return int(await fork.read_file("counter"))


@pytest.fixture(params=["docker", "docker-remote", "unboxed"])
def sandbox(request, make_sandbox):
    """Every way of freezing that there is for a real guest."""
    return make_sandbox(request.param)


async def test_a_frozen_box_makes_no_progress_and_a_thawed_one_goes_on(sandbox, opened, program):
    """A spinning program's count stands still, the guest does not answer, and both go on."""
    async with opened(sandbox) as box:
        await spinning(box, program)
        assert await box.freeze() < 5.0
        first = await counted(box)
        box.link.frozen = False  # ask all the same: there must be nobody to answer
        with trio.move_on_after(0.1) as scope:
            await box.link.ping()
        assert scope.cancelled_caught, "the guest answered in a frozen box"
        assert await counted(box) == first
        await box.thaw()
        assert int((await box.run(["cat", "counter"])).stdout) >= first
        later = first
        while later <= first:
            later = int((await box.run(["cat", "counter"])).stdout)


async def test_a_frozen_box_is_not_to_be_used(sandbox, opened):
    """A command in a frozen box would wait for ever, so it is refused at once."""
    async with opened(sandbox) as box:
        await box.freeze()
        with pytest.raises(RuntimeError, match="thaw"):
            await box.run(["true"])
        await box.freeze()  # once more is no harm
        await box.thaw()
        assert (await box.run(["true"])).exit_code == 0


async def test_a_fork_loop_is_frozen_every_time(opened, make_sandbox, program):
    """Processes that fork, vfork and count in shared memory stand still, 100 times of 100."""
    async with opened(make_sandbox("docker")) as box:
        await program(box, FORKERS)
        await box.receive()
        ticks = box._work.folder / "ticks"
        last = bytes(4096)
        for _ in range(100):
            await box.freeze()
            first, who = ticks.read_bytes(), processes(box)
            assert all(ticks.read_bytes() == first for _ in range(50))
            assert processes(box) == who
            await box.thaw()
            while ticks.read_bytes() == last:  # it did go on since the freeze before
                await trio.lowlevel.checkpoint()
            last = first


def processes(box) -> set[int]:
    """Return the processes of a box, by their numbers on the host."""
    return {int(pid) for pid in (box._freezer._folder / "cgroup.procs").read_text().split()}


@pytest.fixture
def cgroup_v1():
    """A cgroup of our own in the freezer hierarchy."""
    yield from group(Path("/sys/fs/cgroup/freezer"), "freezer.state")


@pytest.fixture
def cgroup_v2():
    """A cgroup of our own in the unified hierarchy, which a hybrid machine has too."""
    unified = Path("/sys/fs/cgroup/unified")
    yield from group(unified if unified.is_dir() else Path("/sys/fs/cgroup"), "cgroup.freeze")


def group(top: Path, needs: str):
    """Make a cgroup and remove it with all that is in it."""
    folder = top / f"monastery-test-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    try:
        if not (folder / needs).exists():
            pytest.skip(f"this machine has no {needs}")
        yield folder
    finally:
        for number in (folder / "cgroup.procs").read_text().split():
            os.kill(int(number), signal.SIGKILL)
        if needs == "freezer.state" and (folder / needs).exists():
            (folder / needs).write_text("THAWED")
        while (folder / "cgroup.procs").read_text():
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, os.WNOHANG)
        folder.rmdir()


# Longer only, never truncated: two processes run it, and a mapping of a file cut short is SIGBUS.
COUNT = """
import mmap, os, sys
with open(sys.argv[1], "rb+") as file:
    file.truncate(4096)
    shared = mmap.mmap(file.fileno(), 4096)
while True:
    shared[:8] = (int.from_bytes(shared[:8], "little") + 1).to_bytes(8, "little")
    child = os.fork()
    if child == 0: os._exit(0)
    os.waitpid(child, 0)
"""


@contextlib.contextmanager
def python(text: str, count: Path, group: Path | None = None):
    """Run a program that counts in a file; it ends with the block, frozen or not."""
    process = subprocess.Popen([sys.executable, "-c", text, str(count)])
    try:
        yield process
    finally:
        process.kill()
        if group is not None and (group / "freezer.state").exists():
            (group / "freezer.state").write_text("THAWED")
        process.wait(timeout=120)


@pytest.mark.parametrize(("fixture", "kind"), [("cgroup_v1", CgroupV1), ("cgroup_v2", CgroupV2)])
async def test_both_kernel_freezers_stop_real_processes(request, fixture, kind, tmp_path):
    """Whatever the machine's engine uses, both freezers stop a forker, and `end` leaves none."""
    folder, count = request.getfixturevalue(fixture), tmp_path / "count"
    count.touch()
    freezer = kind(folder)
    with python(COUNT, count, folder) as process:
        (folder / "cgroup.procs").write_text(str(process.pid))
        for _ in range(50):
            await freezer.freeze()
            before = count.read_bytes()
            assert all(count.read_bytes() == before for _ in range(50))
            await freezer.thaw()
            while count.read_bytes() == before:
                await trio.lowlevel.checkpoint()
        await freezer.freeze()
        await freezer.end()
        assert process.wait(timeout=120) == -signal.SIGKILL


async def test_a_freezer_whose_group_is_gone_fails(tmp_path):
    """No confirmation, no freeze."""
    for kind in (CgroupV1, CgroupV2):
        with pytest.raises(FreezeFailed):
            await kind(tmp_path).freeze()
        await kind(tmp_path).end()  # which comes when the box may be gone: no error


async def test_a_group_that_goes_while_it_is_ended_is_no_error(tmp_path):
    """The kernel may say ENODEV for a group on its way out; the container must still be removed."""
    (tmp_path / "cgroup.procs").mkdir()  # any error but "no such file"
    for kind in (CgroupV1, CgroupV2):
        await kind(tmp_path).end()


@pytest.mark.virtual
async def test_an_engine_that_never_pauses_is_given_up():
    """The engine says no each time: after the limit the freeze has failed, with its reason."""

    async def refuse():
        raise EnginePause.Refused("unable to freeze")

    async def running():
        return False

    with pytest.raises(FreezeFailed, match="unable to freeze"):
        await EnginePause(refuse, refuse, running).freeze()


async def test_an_unconfirmed_freeze_breaks_the_box(opened, make_sandbox):
    """After a freeze that failed the box cannot be used, and it is removed."""

    class Never:
        name = "never"

        async def freeze(self):
            raise FreezeFailed("no")

    async with opened(make_sandbox("unboxed")) as box:
        box._freezer = Never()
        with pytest.raises(FreezeFailed):
            await box.freeze()
        with pytest.raises(FreezeFailed):
            await box.run(["true"])
        with pytest.raises(FreezeFailed):
            await box.thaw()


async def test_a_dead_box_says_so_and_not_that_it_could_not_be_frozen(opened, make_sandbox):
    """`freeze` of a box that died raises what happened to it."""
    async with opened(make_sandbox("docker")) as box:
        os.kill(min(processes(box)), signal.SIGKILL)
        with pytest.raises(BoxDied):
            await box.receive()
        with pytest.raises(BoxDied):
            await box.freeze()


async def test_a_stranger_with_the_same_number_is_not_taken_for_the_box():
    """A process that is not in a cgroup named after the container is never frozen."""
    assert find_freezer(os.getpid(), "0" * 64) is None
    assert find_freezer(2**22, "0" * 64) is None
    assert cgroup.out_of_memory_kills(os.getpid(), "0" * 64) == 0


async def test_signals_stop_threads_and_orphans(tmp_path):
    """The freezer of unboxed guests stops each thread of each child."""
    count = tmp_path / "count"
    count.touch()
    text = f"""
import os, threading
os.fork()
threading.Thread(target=lambda: [0 for _ in iter(int, 1)]).start()
{COUNT}"""
    with python(text, count) as process:
        freezer = SignalFreezer(process.pid)
        while not any(count.read_bytes()):
            await trio.lowlevel.checkpoint()
        await freezer.freeze()
        before = count.read_bytes()
        assert all(count.read_bytes() == before for _ in range(50))
        await freezer.end()
        assert process.wait(timeout=120) == -signal.SIGKILL
