"""A copy of a run's box, opened by somebody else than its run: alive, closed, lost, or torn."""

import uuid
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from monastery.runtime.errors import BoxError
from monastery.runtime.owner import this_process
from monastery.runtime.records import BoxLimits, BoxSpec, RunId
from monastery.sandbox import disk, reaper
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.engine import Engine
from monastery.sandbox.unboxed import UnboxedSandbox
from tests.sandbox.conftest import IMAGE

SPEC = BoxSpec(IMAGE)
DEAD = f"{this_process().rpartition('/')[0]}/1"
"""A process that had this one's number before."""


@pytest.fixture
def run() -> RunId:
    """A run of a name that no other test has."""
    return RunId(f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture(params=["docker", "docker-remote", "unboxed"])
def pair(request, tmp_path: Path):
    """The sandbox of a run and that of somebody else."""
    if request.param == "unboxed":
        return UnboxedSandbox(tmp_path), UnboxedSandbox(tmp_path)
    request.getfixturevalue("image")
    local = request.param == "docker"
    return DockerSandbox(local=local), DockerSandbox(local=local)


@asynccontextmanager
async def forgotten(sandbox, run: RunId):
    """Leave nothing of a run."""
    try:
        yield
    finally:
        await sandbox.forget(run)


async def read(copied, path: str = "note.txt") -> bytes:
    """Return a file of a copy."""
    return await copied.cell.read_file(path)


async def test_a_copy_of_a_frozen_box_is_a_place_of_its_own(pair, run):
    """It has the box's files; what is written in it is not in the box; the box stays frozen."""
    theirs, ours = pair
    async with forgotten(theirs, run), theirs.open(run, SPEC) as box:
        await box.write_file("note.txt", b"the bell is broken")
        await box.freeze()
        async with ours.copy(run, SPEC) as copied:
            assert await read(copied) == b"the bell is broken"
            await copied.cell.write_file("note.txt", b"no, it rings")
            await copied.cell.write_file("new.txt", b"")
            with pytest.raises(RuntimeError, match="frozen"):
                await box.run(["true"])
        await box.thaw()
        assert await box.read_file("note.txt") == b"the bell is broken"
        assert (await box.run(["ls"])).stdout == b"note.txt\n"


async def test_a_box_that_was_closed_is_copied_from_what_it_left(pair, run):
    """A parked run's files can be looked at, and it can go on with them while they are."""
    theirs, ours = pair
    async with forgotten(theirs, run):
        async with theirs.open(run, SPEC) as box:
            await box.write_file("note.txt", b"parked")
        async with ours.copy(run, SPEC) as copied:
            assert copied.of == "folder"
            assert await read(copied) == b"parked"
            await copied.cell.write_file("note.txt", b"changed")
            async with theirs.open(run, SPEC) as box:
                assert await box.read_file("note.txt") == b"parked"


async def test_a_living_box_whose_files_are_out_of_sight_is_not_half_copied(
    docker_sandbox, image, run
):
    """Where somebody unmounted its folder here, the file under it does not hold all."""
    engine = Engine()
    async with forgotten(docker_sandbox, run), docker_sandbox.open(run, SPEC):
        await engine.connect()
        volume = await engine.volume(f"monastery-{run}-work")
        await disk.unmount(Path(volume["Mountpoint"]))
        with pytest.raises(BoxError, match="cannot be reached"):
            async with docker_sandbox.copy(run, SPEC):
                pass


async def test_where_there_is_nothing_it_is_said(pair, run):
    """A run that never had a box has none to copy."""
    with pytest.raises(BoxError, match="no box"):
        async with pair[1].copy(run, SPEC):
            pass


async def test_where_the_folder_is_lost_the_newest_snapshot_is_copied(
    docker_sandbox, image, run, tmp_path
):
    """And the copy says that it is one."""
    home = tmp_path / "home"
    theirs = DockerSandbox(home=home)
    spec = BoxSpec(IMAGE, BoxLimits(snapshot_seconds=0.0))
    async with forgotten(theirs, run):
        async with theirs.open(run, spec) as box:
            await box.write_file("note.txt", b"yesterday")
            await box.freeze()
            await box.keep_snapshot()
        await docker_sandbox.forget(run)
        async with DockerSandbox(home=home).copy(run, spec) as copied:
            assert copied.of == "snapshot"
            assert await read(copied) == b"yesterday"


async def test_a_copy_has_no_network_and_the_limits_of_its_box(docker_sandbox, run, image):
    """It is made as boxes are: loopback alone, no capability, nobody's rights."""
    async with forgotten(docker_sandbox, run):
        async with docker_sandbox.open(run, SPEC):
            pass
        async with docker_sandbox.copy(run, SPEC) as copied:
            told = await copied.cell.run(["sh", "-c", "tail -n +3 /proc/net/dev | cut -d: -f1"])
            assert told.stdout.split() == [b"lo"]
            assert (await copied.cell.run(["id", "-u"])).stdout == b"1000\n"
            tried = "import socket; socket.create_connection(('192.0.2.1', 80), 5)"
            failed = await copied.cell.run(["python3", "-c", tried])
            assert b"Network is unreachable" in failed.stderr


async def test_files_that_are_taken_up_again_meanwhile_are_not_copied(tmp_path):
    """A file system that somebody mounts is no source: half of it might be old."""
    folder, to = Path("/proc"), tmp_path / "copy" / "_data"  # mounted, whoever asks
    to.parent.mkdir()
    with pytest.raises(BoxError):
        await disk.copy(folder, to)
    assert not list(to.parent.glob("*.ext4"))


async def test_what_a_killed_desk_left_is_reaped_and_the_box_is_not_touched(
    docker_sandbox, run, image, engine_api
):
    """The fork of a dead process goes, with its volume; the living box keeps its files."""
    engine = Engine()
    await engine.connect()
    async with forgotten(docker_sandbox, run), docker_sandbox.open(run, SPEC) as box:
        await box.write_file("note.txt", b"here")
        await box.changes()
        labels = {
            "monastery.run": run,
            "monastery.runtime": DEAD,
            "monastery.purpose": "fork",
        }
        name = f"monastery-{run}-fork-left"
        await engine.create_volume(name, labels)
        container = await engine.create(
            {"Image": IMAGE, "Cmd": ["true"], "Labels": labels, "HostConfig": {}}
        )
        removed = await reaper.reap(engine, None, lambda run: True)
        assert container in removed
        assert await engine.volume(name) is None
        await box.write_file("more.txt", b"x")
        assert [change.path for change in await box.changes()] == ["more.txt"]
