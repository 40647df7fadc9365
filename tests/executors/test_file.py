"""The kind ``file`` on a real file system: all or nothing, and never outside its folder."""

import base64
import hashlib
import json
import os
import stat
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monastery.runtime.errors import BadPayload, MonasteryError
from monastery.runtime.executors import file_delivery, paths
from monastery.runtime.executors.file_delivery import Conflict, PartlyDelivered, deliver
from tests.executors.world import Faults, Make, Steps


def listed(files: dict[str, Any]) -> bytes:
    """Return a payload of files by path; bytes go as base 64."""
    told = {
        path: {"text": content}
        if isinstance(content, str)
        else {"base64": base64.b64encode(content).decode()}
        for path, content in files.items()
    }
    return json.dumps({"files": told}).encode()


def below(folder: Path) -> list[Path]:
    """Return every path under a folder."""
    return sorted(folder.rglob("*"))


def tree(folder: Path) -> dict[str, bytes | str]:
    """Return everything under a folder: the bytes of files, where links point."""
    return {
        str(path.relative_to(folder)): str(path.readlink())
        if path.is_symlink()
        else path.read_bytes()
        if path.is_file()
        else "folder"
        for path in below(folder)
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The target folder."""
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


async def test_files_are_delivered(make: Make, step: Steps, out: Path) -> None:
    """Text and bytes arrive in new folders, and the outcome names path, hash and length."""
    content = {"report.md": "# Gr\u00fc\u00dfe\n", "data/2026/x.bin": b"\0\xff", "empty": ""}
    outcome = await make("file", folder="out").execute(step("file", listed(content)))
    assert outcome.status == "done"
    assert tree(out) == {
        "report.md": "# Gr\u00fc\u00dfe\n".encode(),
        "data": "folder",
        "data/2026": "folder",
        "data/2026/x.bin": b"\0\xff",
        "empty": b"",
    }
    assert outcome.content["files"][1] == {
        "path": "data/2026/x.bin",
        "sha256": hashlib.sha256(b"\0\xff").hexdigest(),
        "size_bytes": 2,
    }
    assert stat.S_IMODE((out / "report.md").stat().st_mode) & 0o111 == 0


async def test_existing_file_blocks_all(make: Make, step: Steps, out: Path) -> None:
    """Without `overwrite` one file that is there already keeps every file from being written."""
    (out / "b").write_text("mine")
    before = tree(out)
    outcome = await make("file", folder="out").execute(
        step("file", listed({"a": "1", "new/c": "2", "b": "3"}))
    )
    assert outcome.status == "failed"
    assert "b (is there already" in outcome.content["reason"]
    assert tree(out) == before


async def test_overwrite_replaces(make: Make, step: Steps, out: Path) -> None:
    """With `overwrite` the file is replaced, not written into: a hard link keeps the old bytes."""
    (out / "b").write_text("mine")
    os.link(out / "b", out / "kept")
    outcome = await make("file", folder="out", overwrite=True).execute(
        step("file", listed({"b": "new"}))
    )
    assert outcome.status == "done"
    assert tree(out) == {"b": b"new", "kept": b"mine"}


async def test_same_step_twice_is_one_delivery(make: Make, step: Steps, out: Path) -> None:
    """Files that are there with exactly these bytes are left alone, time stamps and all."""
    executor = make("file", folder="out")
    one = step("file", listed({"a": "1", "d/b": "2"}))
    first = await executor.execute(one)
    stamp = (out / "a").stat()
    assert await executor.execute(one) == first
    assert await executor.reconcile(one) == first
    assert (out / "a").stat().st_mtime_ns == stamp.st_mtime_ns
    assert (out / "a").stat().st_ino == stamp.st_ino


@pytest.mark.parametrize("named", [0, 1, 2])
async def test_crash_in_between_is_finished(make: Make, step: Steps, out: Path, named: int) -> None:
    """After a crash with some files in place, looking adds the others and sweeps up."""
    files = {"a": b"1", "d/b": b"2"}
    one = step("file", listed(files))
    left_by_crash(out, files, one.key, named)
    outcome = await make("file", folder="out").reconcile(one)
    assert outcome is not None
    assert outcome.status == "done"
    assert tree(out) == {"a": b"1", "d": "folder", "d/b": b"2"}


def left_by_crash(out: Path, files: dict[str, bytes], tag: str, named: int) -> None:
    """Leave what a delivery leaves when the machine stops after so many files got their names."""
    with ExitStack() as handles:
        work = file_delivery._Work(handles, False, tag)
        root = os.open(out, os.O_RDONLY)
        handles.callback(os.close, root)
        for path, content in files.items():
            work.write_aside(root, path, content)
        for target in work.targets[:named]:
            work._link(target)


async def test_look_cannot_tell_of_a_changed_file(make: Make, step: Steps, out: Path) -> None:
    """Where a file of other content lies, nobody can tell whether the step was done."""
    executor = make("file", folder="out")
    one = step("file", listed({"a": "1"}))
    await executor.execute(one)
    (out / "a").write_text("edited since")
    assert await executor.reconcile(one) is None
    assert tree(out) == {"a": b"edited since"}


@pytest.mark.parametrize("place", ["link/x", "d/link/x", "link", "d/dangling", "loop/x"])
@pytest.mark.parametrize("overwrite", [True, False])
async def test_links_lead_nowhere(
    make: Make, step: Steps, out: Path, tmp_path: Path, place: str, overwrite: bool
) -> None:
    """No symbolic link, to a folder, a file or nothing, is followed or replaced."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (out / "d").mkdir()
    (out / "link").symlink_to(elsewhere)
    (out / "d/link").symlink_to("../../elsewhere")
    (out / "d/dangling").symlink_to(elsewhere / "made")
    (out / "loop").symlink_to("loop")
    before = tree(tmp_path)
    outcome = await make("file", folder="out", overwrite=overwrite).execute(
        step("file", listed({"first": "1", place: "2"}))
    )
    assert outcome.status == "failed"
    assert tree(tmp_path) == before


@pytest.mark.parametrize("thing", ["folder", "pipe", "file above"])
async def test_what_is_no_file_blocks(make: Make, step: Steps, out: Path, thing: str) -> None:
    """A folder, a pipe or a file where a folder must be is in the way; nothing is written."""
    if thing == "folder":
        (out / "x").mkdir()
    elif thing == "pipe":
        os.mkfifo(out / "x")
    else:
        (out / "x").write_text("")
    before = below(out)
    path = "x/y" if thing == "file above" else "x"
    outcome = await make("file", folder="out", overwrite=True).execute(
        step("file", listed({"first": "1", path: "2"}))
    )
    assert outcome.status == "failed"
    assert below(out) == before


async def test_missing_target_fails(make: Make, step: Steps, tmp_path: Path) -> None:
    """A target folder that is gone is told; it is not made."""
    before = tree(tmp_path)
    outcome = await make("file", folder="gone").execute(step("file", listed({"a": "1"})))
    assert outcome.status == "failed"
    assert tree(tmp_path) == before


def test_file_that_came_meanwhile_is_kept(out: Path) -> None:
    """A file that appears between the look and the naming is not replaced; all is taken back."""
    with ExitStack() as handles:
        work = file_delivery._Work(handles, False, "t")
        root = os.open(out, os.O_RDONLY)
        handles.callback(os.close, root)
        work.write_aside(root, "a", b"1")
        work.write_aside(root, "d/b", b"2")
        (out / "d/b").write_text("somebody's")
        with pytest.raises(Conflict):
            work.name_all()
        work.take_back()
        work.tidy()
    assert tree(out) == {"d": "folder", "d/b": b"somebody's"}


def test_failed_delivery_takes_back_what_it_named(out: Path) -> None:
    """When a later file cannot be named, the earlier ones are gone again, and their folders."""
    files = {"first": b"0", "d/x": b"1", "d/./x": b"2"}  # two paths of one place
    with pytest.raises(Conflict):
        deliver(out, files, tag="t", overwrite=False)
    assert tree(out) == {}


def test_half_replaced_is_not_called_failed(out: Path) -> None:
    """When one file was replaced and the next cannot be, nobody may call that not done."""
    (out / "a").write_text("old")
    with ExitStack() as handles:
        work = file_delivery._Work(handles, True, "t")
        root = os.open(out, os.O_RDONLY)
        handles.callback(os.close, root)
        work.write_aside(root, "a", b"new")
        work.write_aside(root, "b", b"new")
        (out / "b").mkdir()
        with pytest.raises(OSError, match="directory") as caught:
            work.name_all()
        with pytest.raises(PartlyDelivered):
            file_delivery._give_up(work, "x", caught.value)
    assert issubclass(PartlyDelivered, MonasteryError)


BAD = {
    "empty": b"",
    "not json": b"hello",
    "list": b"[]",
    "no files": b'{"files": {}}',
    "unknown field": b'{"files": {"a": {"text": "x"}}, "mode": 1}',
    "unknown field of a file": b'{"files": {"a": {"text": "x", "mode": 511}}}',
    "neither": b'{"files": {"a": {}}}',
    "both": b'{"files": {"a": {"text": "x", "base64": ""}}}',
    "number": b'{"files": {"a": {"text": 1}}}',
    "file twice": b'{"files": {"a": {"text": "x"}, "a": {"text": "y"}}}',
    "file twice by escape": b'{"files": {"a": {"text": "x"}, "\\u0061": {"text": "y"}}}',
    "files twice": b'{"files": {"a": {"text": "x"}}, "files": {"b": {"text": "y"}}}',
    "text twice": b'{"files": {"a": {"text": "x", "text": "y"}}}',
    "bad base 64": b'{"files": {"a": {"base64": "x"}}}',
    "base 64 with blanks": b'{"files": {"a": {"base64": "eA ="}}}',
    "base 64 with lines": b'{"files": {"a": {"base64": "eA==\\n"}}}',
    "half a pair": b'{"files": {"a": {"text": "\\ud800"}}}',
    "half a pair in a path": b'{"files": {"\\ud800": {"text": "x"}}}',
    "nan": b'{"files": NaN}',
    "deep": b'{"files": ' + b"[" * 100_000,
    "long number": b'{"files": ' + b"1" * 10_000 + b"}",
    "not utf-8": b'{"files": {"\xff": {"text": "x"}}}',
    "utf-16": '{"files": {"a": {"text": "x"}}}'.encode("utf-16"),
    "nul": b'{"files": {"a\0": {"text": "x"}}}',
    "bom": b'\xef\xbb\xbf{"files": {"a": {"text": "x"}}}',
    "two documents": b'{"files": {"a": {"text": "x"}}} {}',
    "case clash": listed({"a": "1", "A": "2"}),
    "folder case clash": listed({"Docs/a": "1", "docs/A": "2"}),
    "normal clash": listed({"\u00e9": "1", "e\u0301": "2"}),
    "file and folder": listed({"a": "1", "a/b": "2"}),
    "file and folder by case": listed({"A": "1", "a/b/c": "2"}),
    "too much": listed({"a": "x" * 2000, "b": "y" * 2001}),
    "too many": listed({f"f{number}": "" for number in range(1001)}),
    "too deep": listed({"d/" * 11 + "x": ""}),
    "too many folders": listed({f"d{number}/x": "" for number in range(51)}),
    "a bare text": b'{"files": {"a": "x"}}',
}


@pytest.mark.parametrize("name", BAD)
def test_payload_is_refused(make: Make, name: str) -> None:
    """What could be read in two ways, or is no set of files, is refused in one line."""
    with pytest.raises(BadPayload) as caught:
        make("file", folder="out", max_bytes=4000).check(BAD[name])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/x",
        "a/../b",
        "",
        "/",
        ".",
        "..",
        "a/",
        "a//b",
        "./a",
        "~/../x/.",
        ".git/hooks/post-commit",
        "sub/.GIT/config",
        "a\nb",
        "a\x00b",
        "a\x85b",
        "a\u2028b",
        "a\u202eb",
        "a\u200bb",
        "a.",
        "a ",
        "a. ./b",
        "..\\x",
        "C:\\x",
        "\u00e9" * 128,
        "x" * 2000,
    ],
    ids=ascii,
)
def test_path_is_refused(make: Make, path: str) -> None:
    """A path that leaves the folder, hides something, or means another place elsewhere."""
    with pytest.raises(BadPayload):
        make("file", folder="out").check(listed({path: "x"}))


PARTS = st.one_of(
    st.sampled_from(["..", ".", "", "a", "b", "link", "d", ".git", "A", " ", "...", "~", "-rf"]),
    st.text(min_size=1, max_size=5),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(PARTS, min_size=1, max_size=4).map("/".join), min_size=1, max_size=4))
def test_nothing_outside_changes(make: Make, step: Steps, tmp_path: Path, names: list[str]) -> None:
    """Whatever check accepts, execute writes the named files below the folder and nothing else."""
    out = tmp_path / "target" / "out"
    if not out.exists():
        out.mkdir(parents=True)
        (out.parent / "beside").write_text("beside")
        (out / "link").symlink_to("..")
    before = tree(tmp_path)
    executor = make("file", folder="target/out", overwrite=True)
    content = listed(dict.fromkeys(names, "x"))
    try:
        executor.check(content)
    except BadPayload:
        return
    outcome = trio.run(executor.execute, step("file", content))
    after = tree(tmp_path)
    if outcome.status == "failed":
        assert after == before
        return
    named = {f"target/out/{name}" for name in names}
    folders = {str(parent) for name in named for parent in Path(name).parents}
    assert {path for path in after if after[path] != before.get(path)} <= named | folders
    assert all(after[path] == b"x" for path in named)
    assert before.keys() <= after.keys()


@given(st.text(max_size=12))
@settings(max_examples=300, deadline=None)
def test_accepted_paths_stay_inside(path: str) -> None:
    """A path without a fault, joined to a folder, lies below it and has no part that git reads."""
    if paths.fault_of(path) is None:
        joined = os.path.normpath(f"/folder/{path}")
        assert joined == f"/folder/{path}"
        assert ".git" not in path.casefold().split("/")


def test_render_shows_path_hash_and_content(make: Make) -> None:
    """The reader sees text as text however it was sent, and other bytes as a dump."""
    shown = make("file", folder="out").render(listed({"a.txt": b"hello\n", "b": b"\0\xff"}))
    digest = hashlib.sha256(b"hello\n").hexdigest()
    assert f"a.txt  6 bytes, sha256 {digest}:\n    hello\n" in shown
    assert "00 ff" in shown


def test_faults(faults: Faults, out: Path) -> None:
    """A target folder that is not there is a fault of the field `folder`."""
    assert faults("file", folder="out") == []
    (fault,) = faults("file", folder="nowhere")
    assert fault.startswith("folder: ")
