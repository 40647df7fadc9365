"""What every box does, of whatever kind: files, changes, forks, what is kept."""

import uuid

import pytest

from monastery.runtime.errors import BadInput, BoxDied
from monastery.runtime.records import BoxSpec, RunId

KINDS = ["docker", "docker-remote", "unboxed", "scripted"]


@pytest.fixture(params=KINDS)
def sandbox(request, tmp_path, make_sandbox):
    """A sandbox of every kind."""
    return make_sandbox(request.param)


async def test_a_file_comes_back_as_it_went_in(sandbox, opened):
    """Bytes of any kind and of several chunks' size survive the way in and out."""
    content = bytes(range(256)) * 4096 + b"end"
    async with opened(sandbox) as box:
        await box.write_file("deep/er/file.bin", content)
        assert await box.read_file("deep/er/file.bin") == content
        assert await box.read_file("/work/deep/er/file.bin") == content
        await box.write_file("deep/er/file.bin", b"")
        assert await box.read_file("deep/er/file.bin") == b""


async def test_a_file_longer_than_asked_for_is_refused(sandbox, opened):
    """`max_bytes` is a bound, and the refusal names it."""
    async with opened(sandbox) as box:
        await box.write_file("f", b"12345")
        assert await box.read_file("f", max_bytes=5) == b"12345"
        with pytest.raises(BadInput, match="more than 4"):
            await box.read_file("f", max_bytes=4)
        with pytest.raises(BadInput, match="'no'"):
            await box.read_file("no")


async def test_a_box_starts_with_the_project_files(sandbox, opened, tmp_path):
    """Files and folders of the host are copied in, and nothing is said to have changed."""
    (tmp_path / "src" / "sub").mkdir(parents=True)
    (tmp_path / "src" / "sub" / "a.txt").write_text("A")
    (tmp_path / "one.txt").write_text("1")
    files = [("code", str(tmp_path / "src")), ("x/y/one.txt", str(tmp_path / "one.txt"))]
    async with opened(sandbox, files=files) as box:
        assert box.facts.work == "new"
        assert await box.read_file("code/sub/a.txt") == b"A"
        assert await box.read_file("x/y/one.txt") == b"1"
        assert await box.changes() == []


async def test_changes_name_what_was_added_modified_and_deleted(sandbox, opened, tmp_path):
    """Each call compares with the last; the same size and an old date hide nothing."""
    (tmp_path / "kept").write_text("k")
    (tmp_path / "old").write_text("aaaa")
    files = [(name, str(tmp_path / name)) for name in ("kept", "old")]
    async with opened(sandbox, files=files) as box:
        await box.write_file("old", b"bbbb")
        await box.write_file("new", b"123")
        found = {change.path: (change.what, change.size_bytes) for change in await box.changes()}
        assert found == {"old": ("modified", 4), "new": ("added", 3)}
        assert await box.changes() == []


async def test_a_fork_sees_the_same_files_and_changes_nothing(sandbox, opened):
    """A copy of a frozen box holds its files; what is done there stays there."""
    async with opened(sandbox) as box:
        await box.write_file("a/b", b"original")
        await box.freeze()
        async with box.fork() as fork:
            assert await fork.read_file("a/b") == b"original"
            await fork.write_file("a/b", b"spoilt")
            await fork.write_file("more", b"x")
            assert (await fork.run(["true"])).exit_code == 0
        await box.thaw()
        assert await box.read_file("a/b") == b"original"
        assert {change.path for change in await box.changes()} == {"a", "a/b"} - (
            set() if box.facts.engine_runtime != "scripted" else {"a"}
        )


async def test_a_work_folder_is_kept_until_the_run_is_forgotten(sandbox, image):
    """A second box of a run goes on with the first one's files; after `forget` it starts anew."""
    run, spec = RunId(f"test-{uuid.uuid4().hex[:12]}"), BoxSpec(image)
    async with sandbox.open(run, spec) as box:
        await box.write_file("thought", b"one")
    async with sandbox.open(run, spec) as box:
        assert box.facts.work == "kept"
        assert await box.read_file("thought") == b"one"
    await sandbox.forget(run)
    async with sandbox.open(run, spec) as box:
        assert box.facts.work == "new"
        with pytest.raises(BadInput):
            await box.read_file("thought")
    await sandbox.forget(run)


async def test_an_unknown_command_is_bad_input(sandbox, opened):
    """A command that does not exist is said to be missing, by name."""
    async with opened(sandbox) as box:
        with pytest.raises(BadInput, match="no-such-command"):
            await box.run(["no-such-command"])


async def test_what_the_block_raises_comes_out_bare(sandbox, opened):
    """An error in the block around a box is not wrapped in a group."""
    with pytest.raises(ZeroDivisionError):
        async with opened(sandbox):
            raise ZeroDivisionError


async def test_a_rollout_begins_with_the_files_of_its_moment(sandbox, opened):
    """A copy is kept once under a name; a box from it has its files, and changes no other's."""
    async with opened(sandbox) as box:
        await box.write_file("kept", b"before")
        await box.keep_moment("first")
        await box.write_file("kept", b"after")
        await box.write_file("late", b"x")
        await box.keep_moment("first")
        await box.freeze()
        async with box.rollout("first") as other:
            assert other.facts.box != box.facts.box
            assert await other.read_file("kept") == b"before"
            with pytest.raises(BadInput, match="'late'"):
                await other.read_file("late")
            assert await other.changes() == []
            await other.write_file("kept", b"spoilt")
            assert (await other.run(["true"])).exit_code == 0
            await other.freeze()
            assert [change.path for change in await other.changes()] == ["kept"]
        await box.thaw()
        assert await box.read_file("kept") == b"after"


async def test_a_moment_makes_place_for_the_next(sandbox, opened):
    """There is one copy at a time; no rollout begins from what is not kept."""
    async with opened(sandbox) as box:
        await box.keep_moment("first")
        await box.write_file("a", b"x")
        await box.keep_moment("second")
        async with box.rollout("second") as other:
            assert await other.read_file("a") == b"x"
        with pytest.raises(BoxDied, match="no copy of the work folder"):
            async with box.rollout("first"):
                raise AssertionError
