"""Copying and comparing folders that a stranger filled."""

import os
import socket
from pathlib import Path

import pytest

from monastery.runtime.errors import LimitExceeded
from monastery.sandbox import tree


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path]:
    """An empty folder to copy from, and one to copy to."""
    (tmp_path / "from").mkdir()
    (tmp_path / "to").mkdir()
    return tmp_path / "from", tmp_path / "to"


def copy(made, limit_bytes=1 << 20) -> int:
    """Copy one of the folders into the other."""
    return tree.copy(*made, owner=None, limit_bytes=limit_bytes)


def test_links_are_copied_as_links_and_odd_things_left_out(made, tmp_path):
    """Nothing outside is read, no device, pipe, socket or set-user bit comes along."""
    source, target = made
    (tmp_path / "secret").write_text("host's")
    (source / "link").symlink_to(tmp_path / "secret")
    (source / "folder").symlink_to(tmp_path)
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(source / "s"))
    (source / "tool").write_text("x")
    (source / "tool").chmod(0o6755)
    copy(made)
    assert {path.name for path in target.iterdir()} == {"link", "folder", "tool"}
    assert (target / "link").is_symlink()
    assert (target / "folder").is_symlink()
    assert (target / "tool").stat().st_mode & 0o7777 == 0o755


def test_names_of_any_bytes_are_copied(made):
    """Newlines and bytes that are no UTF-8 are names like others, and shown safely."""
    source, target = made
    names = [b"new\nline", b"\xff\xfe", "ü".encode()]
    for name in names:
        Path(os.fsdecode(os.fsencode(source) + b"/" + name)).write_bytes(name)
    copy(made)
    assert {os.fsencode(path.name) for path in target.iterdir()} == set(names)
    shown = {change.path for change in tree.compare({}, tree.scan(target))}
    assert shown == {"new\nline", "\\xff\\xfe", "ü"}


def test_hard_links_are_one_file_in_the_copy_too(made):
    """A thousand names of one file do not become a thousand files."""
    source, target = made
    (source / "a").write_bytes(bytes(1000))
    (source / "sub").mkdir()
    for number in range(100):
        os.link(source / "a", source / "sub" / str(number))
    assert copy(made, limit_bytes=5000) <= 4096
    assert (target / "a").stat().st_nlink == 101
    assert tree.measure(target) < 20_000


def test_holes_stay_holes_and_contents_stay(made):
    """A sparse gigabyte is copied in no time and takes no room."""
    source, target = made
    with (source / "sparse").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"middle")
    assert copy(made) < 1 << 16
    assert (target / "sparse").stat().st_size == 1 << 30
    with (target / "sparse").open("rb") as file:
        file.seek(1 << 29)
        assert file.read(6) == b"middle"


def test_more_bytes_than_allowed_are_not_copied(made):
    """The bound is on what is read, whatever a name or a size says."""
    (made[0] / "big").write_bytes(bytes(range(256)) * 40)
    with pytest.raises(LimitExceeded, match="more than 5000 bytes"):
        copy(made, limit_bytes=5000)


def test_a_folder_deeper_than_any_path_is_refused(made):
    """Folders nested beyond what a path can name end in an error and not in a crash."""
    at = os.open(made[0], os.O_RDONLY)
    for _ in range(tree.MAX_DEPTH + 2):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    with pytest.raises(LimitExceeded, match="nested"):
        copy(made)
    with pytest.raises(LimitExceeded, match="nested"):
        tree.scan(made[0])


def test_a_rewritten_file_is_modified_whatever_its_date_says(made):
    """Same size, same time of modification: the change time tells."""
    file = made[0] / "f"
    file.write_text("before")
    before, was = tree.scan(made[0]), file.stat()
    file.write_text("after!")
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    (change,) = tree.compare(before, tree.scan(made[0]))
    assert (change.path, change.what) == ("f", "modified")
