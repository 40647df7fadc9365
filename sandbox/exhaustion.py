"""Attempts to use up everything: each in a box of its own, while another box and we go on.

An attack holds when it ends with a clear verdict, and when meanwhile a neighbour's command was
never slower than `SLOWEST_SECONDS`.
"""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import trio

from monastery.runtime.errors import BoxError, LimitExceeded
from monastery.runtime.ports import Box, Sandbox
from monastery.runtime.records import AgentExited, BoxSpec, RunId
from monastery.sandbox.finding import Finding

SLOWEST_SECONDS = 2.0
"""The slowest command of a neighbour that is borne: 1.2 ms is usual on an idle machine."""

_ENDS_SECONDS = 20.0


@dataclass(frozen=True)
class Attack:
    """One attempt.

    Attributes:
        play: Makes it, and returns what was seen and whether that is as expected.
    """

    name: str
    expected: str
    play: Callable[[Box], Awaitable[tuple[str, bool]]]


async def exhaust(sandbox: Sandbox, spec: BoxSpec, neighbour: Box) -> list[Finding]:
    """Make every attempt, one after the other."""
    return [await attack_one(attack, sandbox, spec, neighbour) for attack in ATTACKS]


async def attack_one(attack: Attack, sandbox: Sandbox, spec: BoxSpec, neighbour: Box) -> Finding:
    """Make one attempt in a new box, and watch the neighbour meanwhile."""
    run = RunId(f"exhaust-{secrets.token_hex(4)}")
    slowest = [0.0]
    try:
        async with sandbox.open(run, spec) as box, trio.open_nursery() as nursery:
            nursery.start_soon(_watch, neighbour, slowest)
            with trio.move_on_after(_ENDS_SECONDS) as scope:
                seen, holds = await attack.play(box)
            if scope.cancelled_caught:
                seen, holds = f"no end within {_ENDS_SECONDS} s", False
            nursery.cancel_scope.cancel()
    except* BoxError as exc:
        seen, holds = f"the box broke: {_first(exc)}", False
    finally:
        with trio.CancelScope(shield=True):
            await sandbox.forget(run)
    told = f"{seen}; the neighbour's slowest command took {slowest[0] * 1000:.0f} ms"
    verdict = holds and slowest[0] < SLOWEST_SECONDS
    return Finding(attack.name, attack.expected, told, "holds" if verdict else "fails")


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _watch(neighbour: Box, slowest: list[float]) -> None:
    while True:
        began = trio.current_time()
        await neighbour.run(["true"])
        slowest[0] = max(slowest[0], trio.current_time() - began)
        await trio.sleep(0.02)


async def _survives(
    box: Box, text: str, *, seconds: float = 3.0, leaves_files: bool = False
) -> tuple[str, bool]:
    """Run a program until its time is over; the box must then be as good as new.

    Args:
        leaves_files: Whether files that count as memory stay behind: then the box must still
            answer, though its next command may be killed for the memory that they take.
    """
    result = await box.run(["python3", "-c", text], timeout_seconds=seconds)
    began = trio.current_time()
    after = await box.run(["python3", "-c", "print('well')"])
    took = trio.current_time() - began
    how = "its time was over" if result.timed_out else f"it ended with {result.exit_code}"
    said = result.stdout[:200].decode("utf-8", "replace").strip()
    seen = f"{how}{f' ({said})' if said else ''}; a command then took {took * 1000:.0f} ms"
    well = after.stdout == b"well\n" or (leaves_files and after.exit_code == -9)
    return seen, well and took < SLOWEST_SECONDS


async def _fills(box: Box, text: str) -> tuple[str, bool]:
    """Fill the work folder until it takes no more; what it held before can still be removed."""
    result = await box.run(["python3", "-c", text], timeout_seconds=_ENDS_SECONDS)
    seen = result.stdout[:200].decode("utf-8", "replace").strip()
    swept = await box.run(["sh", "-c", "find . -mindepth 1 -delete && echo swept"])
    return seen, "No space left on device" in seen and swept.stdout == b"swept\n"


async def _agent_ends(
    box: Box, text: str, error: type[BoxError], words: tuple[str, ...]
) -> tuple[str, bool]:
    """Run a program as the agent, until the box says what it used too much of."""
    await box.write_file("attack.py", text.encode())
    await box.start_agent(["python3", "attack.py"], env={}, history=b"[]")
    try:
        said = await box.receive()
    except BoxError as exc:
        return f"{type(exc).__name__}: {exc}", isinstance(exc, error) and any(
            word in str(exc) for word in words
        )
    return f"the agent said {said!r:.200}", False


async def _flood(box: Box, stream: str) -> tuple[str, bool]:
    """Print 300 MB: what is not kept is counted."""
    text = f"import sys; [sys.{stream}.write('x' * 1000000) for _ in range(300)]"
    result = await box.run(["python3", "-c", text], timeout_seconds=15.0, max_output_bytes=1 << 20)
    seen = result.stdout_seen_bytes if stream == "stdout" else result.stderr_seen_bytes
    kept = len(result.stdout) + len(result.stderr)
    return f"{seen} bytes seen, {kept} kept", seen == 300_000_000 and kept == 1 << 20


async def _prints(box: Box) -> tuple[str, bool]:
    """Print 100 MB as the agent."""
    text = "import sys; [sys.stdout.write('y' * 1000000) for _ in range(100)]"
    await box.write_file("attack.py", text.encode())
    await box.start_agent(["python3", "attack.py"], env={}, history=b"[]")
    said = await box.receive()
    told = box.take_transcript()
    exited = isinstance(said, AgentExited) and said.exit_code == 0
    seen = f"{told.seen_bytes} bytes seen, {len(told.text)} kept"
    return seen, exited and told.seen_bytes == 100_000_000 and len(told.text) <= 1 << 20


_FORKS = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
_SPINS = """
import os
for _ in range(3):
    os.fork()
while True:
    pass
"""
_MEMORY = """
held = []
while True:
    held.append(bytearray(b"x" * (1 << 20)))
"""
_MEMORY_FILES = """
import os
held = []
for folder in ("/tmp", "/dev/shm", "/run"):
    try:
        with open(folder + "/full", "wb") as file:
            while True:
                file.write(bytes(1 << 20))
    except OSError:
        pass
while True:
    held.append(bytearray(b"x" * (1 << 20)))
"""
_DISK = """
import errno, os
try:
    for number in range(10 ** 6):
        file = open("/work/full%d" % number, "wb", buffering=0)
        try:
            while file.write(bytes(1 << 20)):
                pass
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
except OSError as error:
    disk = os.statvfs("/work")
    print(error.strerror, (disk.f_bavail * disk.f_frsize) >> 10, "KiB left")
"""
_WORK_INODES = """
import os
count = 0
try:
    while True:
        os.close(os.open("/work/%d" % count, os.O_CREAT | os.O_WRONLY))
        count += 1
except OSError as error:
    print(count, error.strerror)
"""
_INODES = """
import os
for folder in ("/tmp", "/run"):
    count = 0
    try:
        while True:
            os.close(os.open("%s/%d" % (folder, count), os.O_CREAT | os.O_WRONLY))
            count += 1
    except OSError as error:
        print(folder, count, error.strerror, end="; ")
"""
_INODES_SHM = """
import os
count = 0
while True:
    os.close(os.open("/dev/shm/%d" % count, os.O_CREAT | os.O_WRONLY))
    count += 1
"""
_FILES = """
import os, resource, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
for _ in range(60):
    try:
        if os.fork() == 0:
            break
    except OSError:
        break
held = []
while True:
    try:
        held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        time.sleep(60)
"""
_SOCKETS = """
import os, socket
held = []
for number in range(2000):
    try:
        door = socket.socket(socket.AF_UNIX)
        door.settimeout(0.2)
        door.connect(os.environ["MONASTERY_SOCKET"])
        door.send(b"garbage\\n" * 50)
        held.append(door)
    except OSError:
        held = held[-20:]
"""
_LINE = """
import os, socket
door = socket.socket(socket.AF_UNIX)
door.settimeout(2)
door.connect(os.environ["MONASTERY_SOCKET"])
sent = 0
try:
    for _ in range(64):
        door.sendall(b"x" * (1 << 20))
        sent += 1
except OSError as error:
    print("cut off after", sent, "MiB")
"""
_DEEP = """
import os, socket
for text in (b"[" * 200000, b'{"a":' * 40000, b'{"what": "propose", "sizes": [1e999]}',
             b'{"what": "propose", "sizes": [NaN]}', b"\\xff\\xfe", b"{" + b'"k":1,' * 40000):
    door = socket.socket(socket.AF_UNIX)
    door.settimeout(2)
    door.connect(os.environ["MONASTERY_SOCKET"])
    try:
        door.sendall(text + b"\\n")
        print(len(door.recv(4096)) > 0, end=" ")
    except OSError as error:
        print(error.strerror, end=" ")
"""
_SLOW = """
import os, socket, time
held = []
for _ in range(60):
    door = socket.socket(socket.AF_UNIX)
    door.connect(os.environ["MONASTERY_SOCKET"])
    door.send(b'{"what": "prop')
    held.append(door)
time.sleep(60)
"""
_KILLS = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for number in (15, 19, 9):
    try:
        os.kill(1, number)
    except OSError:
        pass
if os.fork() == 0:
    os.kill(-1, 9)
os.wait()
"""

ATTACKS = (
    Attack("fork bomb", "killed when its time is over", partial(_survives, text=_FORKS)),
    Attack("spinning", "killed when its time is over", partial(_survives, text=_SPINS)),
    Attack(
        "memory bomb",
        "reported as out of memory",
        partial(_agent_ends, text=_MEMORY, error=LimitExceeded, words=("memory",)),
    ),
    Attack(
        "memory bomb in files",
        "reported as out of memory",
        partial(_agent_ends, text=_MEMORY_FILES, error=BoxError, words=("memory",)),
    ),
    Attack("disk of the work folder", "no space left", partial(_fills, text=_DISK)),
    Attack("files of the work folder", "no space left", partial(_fills, text=_WORK_INODES)),
    Attack(
        "files of /tmp and /run",
        "bounded",
        partial(_survives, text=_INODES, seconds=8.0, leaves_files=True),
    ),
    Attack(
        "files of /dev/shm",
        "reported as out of memory",
        partial(_agent_ends, text=_INODES_SHM, error=BoxError, words=("memory",)),
    ),
    Attack("open files", "bounded", partial(_survives, text=_FILES)),
    Attack("300 MB of output", "cut and counted", partial(_flood, stream="stdout")),
    Attack("300 MB of errors", "cut and counted", partial(_flood, stream="stderr")),
    Attack("100 MB printed by the agent", "cut and counted", _prints),
    Attack("flood of the guest's socket", "no harm", partial(_survives, text=_SOCKETS)),
    Attack("endless line to the guest", "cut off", partial(_survives, text=_LINE)),
    Attack("deep and hostile JSON to the guest", "refused", partial(_survives, text=_DEEP)),
    Attack("slow writers to the guest", "no harm", partial(_survives, text=_SLOW)),
    Attack("signals to the guest", "no harm", partial(_survives, text=_KILLS)),
)
"""Everything that can be used up, and how it is tried."""
