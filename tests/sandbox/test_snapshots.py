"""What is left of a box whose volume is lost: its last snapshot."""

import uuid
from pathlib import Path

import pytest

from monastery.runtime.errors import BadInput
from monastery.runtime.records import BoxLimits, BoxSpec, RunId
from monastery.sandbox import volumes
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.snapshots import Snapshots


class World:
    """One run, whose volumes an engine may lose."""

    def __init__(self, home: Path, image: str, *, local: bool, seconds: float = 0.0) -> None:
        self.home, self.run = home, RunId(f"test-{uuid.uuid4().hex[:12]}")
        self.sandbox = DockerSandbox(home=home, local=local)
        self.spec = BoxSpec(image, BoxLimits(snapshot_seconds=seconds))

    def open(self):
        """Open its box."""
        return self.sandbox.open(self.run, self.spec)

    async def lose_volumes(self) -> None:
        """Do what `docker volume prune` does."""
        engine = self.sandbox._engine
        for volume in await engine.volumes(f"monastery.run={self.run}"):
            await volumes.remove(engine, volume)


@pytest.mark.parametrize("local", [True, False], ids=["local", "engine"])
async def test_a_lost_box_is_rebuilt_from_its_last_snapshot(tmp_path, image, local) -> None:
    """Its files as they were at the snapshot, links and modes too; what came later is gone."""
    world = World(tmp_path, image, local=local)
    make = "mkdir d; echo one > d/f; ln -s /etc/passwd link; chmod 755 d/f; ln d/f hard"
    try:
        async with world.open() as box:
            assert box.facts.work == "new"
            assert (await box.run(["sh", "-c", make])).exit_code == 0
            await box.keep_snapshot()
            await box.run(["sh", "-c", "echo two > d/f"])
            await box.keep_snapshot()
            await box.run(["sh", "-c", "echo three > d/f"])
        kept = list((tmp_path / "snapshots" / world.run).iterdir())
        assert [path.name for path in kept] == ["2"]
        async with world.open() as box:
            assert box.facts.work == "kept"
        await world.lose_volumes()
        async with world.open() as box:
            assert box.facts.work == "snapshot"
            shown = await box.run(["sh", "-c", "cat d/f; readlink link; stat -c '%a %U' d/f"])
            assert shown.stdout.decode().split("\n")[:2] == ["two", "/etc/passwd"]
            assert shown.stdout.decode().split("\n")[2].startswith("755 ")
            assert (await box.run(["sh", "-c", "echo four >> d/f"])).exit_code == 0
    finally:
        await world.sandbox.forget(world.run)
    assert not (tmp_path / "snapshots" / world.run).exists()


async def test_snapshots_are_as_old_as_they_may_be(tmp_path, image) -> None:
    """Within that time none is taken."""
    world = World(tmp_path, image, local=True, seconds=3600.0)
    try:
        async with world.open() as box:
            await box.keep_snapshot()
    finally:
        await world.sandbox.forget(world.run)
    assert Snapshots(tmp_path).newest(world.run) is None


async def test_a_snapshot_that_fails_leaves_the_last_one(tmp_path) -> None:
    """A full disk costs the snapshot and not the run; half a one does not count."""

    class Full:
        async def save(self, to: Path) -> None:
            (to / "half").write_text("of it")
            raise OSError(28, "No space left on device")

    class Saves:
        async def save(self, to: Path) -> None:
            (to / "work").mkdir()

    snapshots, run = Snapshots(tmp_path), RunId("r")
    await snapshots.keep(run, Saves())  # type: ignore[arg-type]
    await snapshots.keep(run, Full())  # type: ignore[arg-type]
    newest = snapshots.newest(run)
    assert newest is not None
    assert newest.name == "1"


async def test_a_snapshot_of_another_kind_of_engine_is_told(tmp_path, image) -> None:
    """Kept as an archive, it cannot be copied into a folder."""
    world = World(tmp_path, image, local=False)
    try:
        async with world.open() as box:
            await box.keep_snapshot()
        await world.lose_volumes()
        world.sandbox = DockerSandbox(home=tmp_path)
        with pytest.raises(BadInput, match="of an engine elsewhere"):
            async with world.open():
                pass
    finally:
        await world.sandbox.forget(world.run)
