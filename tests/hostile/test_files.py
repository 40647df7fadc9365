"""Files and archives out of a box: nothing in them names, reads or fills what is outside."""

import contextlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from monastery.runtime.errors import LimitExceeded
from monastery.sandbox import tree
from monastery.sandbox.box import DockerSandbox

ZOO = r"""
import os, socket
secret = "/etc/passwd"
os.symlink(secret, "absolute")
os.symlink("../../../../../../etc/passwd", "relative")
os.symlink("/", "root"); os.symlink("..", "up"); os.symlink("loop", "loop"); os.symlink(".", "self")
os.mkdir("d"); open("d/one", "w").write("one"); os.link("d/one", "hard")
os.symlink("../../etc", "d/etc")
os.mkfifo("pipe"); socket.socket(socket.AF_UNIX).bind("sock")
open("tool", "w").write("x"); os.chmod("tool", 0o6777)
open("Case", "w").write("upper"); open("case", "w").write("lower")
open("new\nline", "w").close(); open(b"\xff\xfe", "w").close(); open("x" * 255, "w").close()
open("\u202egnp.exe", "w").close(); open(".wh.tool", "w").close(); open("a\\b", "w").close()
open("...", "w").close(); open("-rf", "w").close(); open("C:", "w").close()
with open("sparse", "wb") as file: file.truncate(30 << 20)
open("closed", "w").write("x"); os.chmod("closed", 0)
for _ in range(16):
    os.mkdir("p" * 250); os.chdir("p" * 250)
open("deep", "w").write("deep")
os.chdir("/work")
try: os.mknod("device", 0o20666, os.makedev(1, 3))
except OSError as error: print(error)
try:
    with open("giant", "wb") as file: file.truncate(50 << 30)
except OSError as error: print(error)
"""

KEPT = {"absolute", "relative", "root", "up", "loop", "self", "d", "hard", "tool", "Case", "case"}
KEPT |= {"new\nline", "\\xff\\xfe", "x" * 255, "\u202egnp.exe", ".wh.tool", "a\\b", "...", "-rf"}
KEPT |= {"C:", "sparse", "closed", "p" * 250, "giant"}

LOOK = r"""
import os, stat
assert open("d/one").read() == open("hard").read() == "one"
assert os.stat("hard").st_ino == os.stat("d/one").st_ino
assert os.readlink("absolute") == "/etc/passwd"
assert os.stat("tool").st_mode & 0o6000 == 0, "set-user bits came along"
assert open("Case").read() + open("case").read() == "upperlower"
assert os.stat("sparse").st_size == 30 << 20
assert not os.path.exists("pipe") and not os.path.exists("sock") and not os.path.exists("device")
for _ in range(16): os.chdir("p" * 250)
assert open("deep").read() == "deep"
print(len(os.listdir("/work")))
"""


@pytest.fixture(params=["direct", "archives"])
def sandbox(request: pytest.FixtureRequest, image: str) -> DockerSandbox:
    """Both ways to a box's files."""
    return DockerSandbox(local=request.param == "direct")


async def test_a_zoo_of_files_is_told_and_copied_harmlessly(sandbox, opened):
    """Links, devices, pipes, odd names, sparse and deep files: told as they are, copied as data."""
    async with opened(sandbox, disk_bytes=64 << 20) as box:
        await box.write_file("zoo.py", ZOO.encode())
        made = await box.run(["python3", "zoo.py"])
        assert made.exit_code == 0, made.stderr
        assert b"Operation not permitted" in made.stdout
        assert b"File too large" in made.stdout
        await box.freeze()
        told = {change.path.split("/")[0]: change for change in await box.changes()}
        missing = KEPT - told.keys()
        assert not missing, missing
        assert told["absolute"].size_bytes in (0, len("/etc/passwd"))
        async with box.fork() as fork:
            looked = await fork.run(["python3", "-c", LOOK])
            assert looked.exit_code == 0, looked.stderr.decode()
        await box.thaw()


async def test_sparse_files_are_not_read_without_end(sandbox, opened):
    """Forty sparse files as long as a file may be: copied as holes, or refused at the bound."""
    text = "for n in range(40): open(str(n), 'wb').truncate(16 << 20)"
    async with opened(sandbox, disk_bytes=16 << 20) as box:
        assert (await box.run(["python3", "-c", text])).exit_code == 0
        await box.freeze()
        if box.facts.freezer == "engine":
            with pytest.raises(LimitExceeded, match="more than"):
                await box.changes()
        else:
            assert len(await box.changes()) == 40
            async with box.fork() as fork:
                used = await fork.run(["du", "-s", "--block-size=1", "/work"])
                assert int(used.stdout.split()[0]) < 1 << 20


async def test_too_many_entries_are_refused(sandbox, opened, monkeypatch):
    """The bound on entries, here lowered to a thousand, holds for telling and for copying."""
    monkeypatch.setattr(tree, "MAX_ENTRIES", 1000)
    text = "import os\nos.mkdir('many')\nfor n in range(1200): open(f'many/{n}', 'w').close()"
    async with opened(sandbox) as box:
        assert (await box.run(["python3", "-c", text])).exit_code == 0
        await box.freeze()
        with pytest.raises(LimitExceeded, match="more than 1000 paths"):
            await box.changes()


SWAP = """
import ctypes, sys
libc, count = ctypes.CDLL(None), 0
one, other = (path.encode() for path in sys.argv[1:])
while True:  # RENAME_EXCHANGE: at each moment both names are there
    assert libc.renameat2(-100, one, -100, other, 2) == 0
    count += 1
    if count == 1000: print("swapping", flush=True)
"""


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_is_swapped_during_a_copy_leads_nowhere(tmp_path: Path, what: str) -> None:
    """A file or folder that turns into a link to the host's secret and back, without a pause."""
    secret, source = tmp_path / "secret", tmp_path / "from"
    secret.mkdir()
    (secret / "inner").write_text("host's secret")
    source.mkdir()
    real, link = source / "real", source / "link"
    if what == "folder":
        real.mkdir()
        (real / "inner").write_text("agent's")
        link.symlink_to(secret)
    else:
        real.write_text("agent's")
        link.symlink_to(secret / "inner")
    argv = [sys.executable, "-c", SWAP, str(real), str(link)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as swapper:
        try:
            assert swapper.stdout is not None
            assert swapper.stdout.readline() == b"swapping\n"
            for number in range(1500):
                target = tmp_path / f"to{number}"
                target.mkdir()
                with contextlib.suppress(OSError):
                    tree.copy(source, target, owner=None, limit_bytes=1 << 20)
                tree.scan(source)
                for path in target.rglob("*"):
                    if path.is_file() and not path.is_symlink():
                        assert path.read_text() == "agent's"
                shutil.rmtree(target)
            assert swapper.poll() is None, "nothing was swapped"
        finally:
            swapper.kill()


async def test_a_copy_is_what_was_frozen(sandbox, opened, program):
    """A program that rewrites a file without end: two forks of one freeze are the same."""
    text = "import itertools\nfor n in itertools.count(): open('f', 'w').write(str(n) * 999)"
    async with opened(sandbox) as box:
        await program(box, text)
        while (await box.run(["test", "-s", "f"])).exit_code != 0:
            pass
        await box.freeze()
        seen = []
        for _ in range(2):
            async with box.fork() as fork:
                seen.append(await fork.read_file("f"))
        assert seen[0] == seen[1]
