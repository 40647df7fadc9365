"""A work folder with a file system of its own: what it bounds, and what becomes of it."""

import os
import sys
from pathlib import Path

import docker
import pytest
import trio

from monastery.runtime.errors import BoxError, LimitExceeded, Unfit
from monastery.runtime.records import BoxLimits, BoxSpec, RunId
from monastery.sandbox import disk

IMAGE = os.environ.get("MONASTERY_BOX_IMAGE", "monastery-box:latest")

MIB = 1 << 20
LIMIT_BYTES = 24 * MIB

USED = """
import os
total = 0
try:
    for number in range(1000):
        with open("full%d" % number, "wb", buffering=0) as file:
            while True:
                total += file.write(bytes(1 << 16))
                if total % (1 << 20) == 0:
                    break
except OSError as error:
    print(total, error.strerror)
"""
FILES = """
try:
    for number in range(10 ** 6):
        open("f%d" % number, "w").close()
except OSError as error:
    print(number, error.strerror)
"""
FILL = """
for number in range(1000):
    with open("full%d" % number, "wb") as file:
        file.write(bytes(1 << 20))
"""


def spec() -> BoxSpec:
    """Return what a box with so small a disk is made of."""
    return BoxSpec(IMAGE, BoxLimits(disk_bytes=LIMIT_BYTES))


def volume_folder(run: str) -> Path:
    """Return the folder of a run's volume."""
    client = docker.APIClient(version="auto")
    try:
        return Path(client.inspect_volume(f"monastery-{run}-work")["Mountpoint"])
    finally:
        client.close()


def mounted(name: str) -> list[str]:
    """Return the mounts of this machine that have this in their path."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if name in line.split()[1]]


async def test_it_holds_exactly_its_limit(opened, docker_sandbox):
    """To the block: not a byte more than the limit, and hardly a block less."""
    async with opened(docker_sandbox, disk_bytes=LIMIT_BYTES) as box:
        result = await box.run(["python3", "-c", USED], timeout_seconds=120)
        total, _, why = result.stdout.decode().partition(" ")
        assert why == "No space left on device\n"
        assert LIMIT_BYTES - MIB // 4 < int(total) <= LIMIT_BYTES
        swept = await box.run(["sh", "-c", "rm full*; echo good > after; cat after"])
        assert swept.stdout == b"good\n"


async def test_it_holds_so_many_files(opened, docker_sandbox):
    """Empty files are bounded too."""
    async with opened(docker_sandbox, disk_bytes=LIMIT_BYTES) as box:
        result = await box.run(["python3", "-c", FILES], timeout_seconds=120)
        number, _, why = result.stdout.decode().partition(" ")
        assert why == "No space left on device\n"
        assert int(number) <= 1.1 * LIMIT_BYTES / 8192


async def test_it_is_mounted_only_while_a_box_is_open(opened, docker_sandbox, engine_api):
    """Kept from box to box, with what lies in it; nothing is left when the run is forgotten."""
    run = RunId(f"test-disk-{os.urandom(4).hex()}")
    async with docker_sandbox.open(run, spec()) as box:
        await box.write_file("kept", b"well")
        assert len(mounted(run)) == 1
        async with box.fork() as fork:
            assert await fork.read_file("kept") == b"well"
            assert len(mounted(run)) == 2
    assert not mounted(run)
    async with docker_sandbox.open(run, spec()) as box:
        assert box.facts.work == "kept"
        assert await box.read_file("kept") == b"well"
    volumes = engine_api.volumes(filters={"label": f"monastery.run={run}"})["Volumes"]
    (folder,) = {Path(one["Mountpoint"]).parent for one in volumes if "work" in one["Name"]}
    assert (folder / "work.ext4").exists()
    await docker_sandbox.forget(run)
    assert not folder.exists()


async def test_a_mount_that_a_crash_left_is_taken_over(opened, docker_sandbox):
    """The volume of a dead runtime may still be mounted, and holds the files."""
    run = RunId(f"test-disk-{os.urandom(4).hex()}")
    try:
        async with docker_sandbox.open(run, spec()) as box:
            await box.write_file("kept", b"well")
        folder = volume_folder(run)
        await disk.mount(folder, limit_bytes=LIMIT_BYTES, owner=(1000, 1000))
        async with docker_sandbox.open(run, spec()) as box:
            assert await box.read_file("kept") == b"well"
            assert len(mounted(run)) == 1
    finally:
        await docker_sandbox.forget(run)
    assert not mounted(run)


async def test_files_beyond_the_limit_are_one_clear_line(opened, docker_sandbox, tmp_path):
    """A project that brings more than its box may hold is told so, and nothing is left."""
    (tmp_path / "large").write_bytes(bytes(LIMIT_BYTES + MIB))
    run = RunId(f"test-disk-{os.urandom(4).hex()}")
    with pytest.raises(LimitExceeded, match="work folder"):
        async with opened(
            docker_sandbox, run=run, disk_bytes=LIMIT_BYTES, files=[("x", str(tmp_path / "large"))]
        ):
            pass
    assert not mounted(run)


OPEN = """
import sys, trio
from monastery.runtime.records import BoxLimits, BoxSpec, RunId
from monastery.sandbox.box import DockerSandbox

async def open_box(image, run):
    sandbox = DockerSandbox()
    try:
        async with sandbox.open(RunId(run), BoxSpec(image, BoxLimits(disk_bytes=24 << 20))):
            print("opened")
    except Exception as error:
        print(type(error).__name__, error)
    finally:
        await sandbox.forget(RunId(run))

trio.run(open_box, *sys.argv[1:])
"""


@pytest.mark.parametrize("apart", [False, True])
async def test_a_box_that_sees_another_folder_is_refused(image, apart):
    """Where the engine does not see our mounts, the bound would be a claim and nothing else."""
    run = f"test-disk-{os.urandom(4).hex()}"
    argv = [sys.executable, "-c", OPEN, image, run]
    if apart:  # with mounts of its own, as a runtime in a container has
        argv = ["unshare", "--mount", "--propagation", "private", *argv]
    done = await trio.run_process(argv, capture_stdout=True)
    said = done.stdout.decode().splitlines()[-1]
    assert ("mounts of its own" in said) == apart
    assert said.startswith("Unfit" if apart else "opened")
    assert not mounted(run)


async def test_without_one_the_folder_is_watched(opened, docker_sandbox, program, monkeypatch):
    """Where the promise is waived, what holds too much is found a moment later."""
    monkeypatch.setattr(disk, "why_not", lambda info: "for this test")
    with pytest.raises(Unfit, match="disk: for this test"):
        async with opened(docker_sandbox, waive=()):
            pass
    async with opened(docker_sandbox, disk_bytes=20 * MIB, waive=("disk",)) as box:
        await program(box, FILL)
        with pytest.raises(LimitExceeded, match="work folder"):
            await box.receive()


@pytest.mark.parametrize(
    ("info", "root", "why"),
    [
        ({"DockerRootDir": "/nonexistent"}, True, "another machine"),
        ({"DockerRootDir": "/", "SecurityOptions": ["name=rootless"]}, True, "rootless"),
        ({"DockerRootDir": "/"}, False, "root"),
        ({"DockerRootDir": "/"}, True, "mkfs.ext4"),
    ],
)
def test_why_not(info, root, why, monkeypatch):
    """Each reason is named, with its mend."""
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(disk, "_PATH", "/nonexistent")
    assert why in (disk.why_not(info) or "")


async def test_what_the_machine_refuses_is_said(tmp_path):
    """One line of the program that failed."""
    (tmp_path / "work.ext4").write_bytes(b"no file system")
    (tmp_path / "_data").mkdir()
    with pytest.raises(BoxError, match="mount"):
        await disk.mount(tmp_path / "_data", limit_bytes=LIMIT_BYTES, owner=(1000, 1000))
