"""What agents work with runs under the strict list of system calls."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from monastery.sandbox.conformance import LIMITS

ROOMY = replace(LIMITS, memory_bytes=1 << 30, cpus=1.0, pids=256, disk_bytes=512 << 20)

COMMANDS = {
    "threads": "import threading; t = threading.Thread(target=print); t.start(); t.join()",
    "processes": "import multiprocessing as m\nif __name__ == '__main__':"
    "\n with m.Pool(2) as p: assert p.map(abs, [-1, -2]) == [1, 2]",
    "spawned": "import multiprocessing as m\nif __name__ == '__main__':"
    "\n m.set_start_method('spawn'); q = m.Queue(); p = m.Process(target=q.put, args=(1,))"
    "\n p.start(); assert q.get() == 1; p.join()",
    "asyncio": "import asyncio; asyncio.run(asyncio.create_subprocess_exec('true'))",
    "sqlite": "import sqlite3; d = sqlite3.connect('x.db'); d.execute('create table t(a)');"
    "d.execute('pragma journal_mode=wal'); d.execute('insert into t values (1)'); d.commit()",
    "loopback": "import socket; s = socket.create_server(('127.0.0.1', 0));"
    "c = socket.create_connection(s.getsockname()); s.accept()[0].send(b'x'); assert c.recv(1)",
    "names": "import socket; assert socket.getaddrinfo('localhost', 80)",
    "fifo": "import os; os.mkfifo('f')",
    "files": "import os, shutil, tempfile; f = tempfile.TemporaryFile(); f.write(b'x'); f.flush();"
    "os.fsync(f.fileno()); shutil.copytree('/usr/lib/python3/dist-packages', 'c')",
    "watching": "import ctypes; assert ctypes.CDLL(None).inotify_init() >= 0",
}


@pytest.mark.parametrize("name", COMMANDS)
async def test_python_runs(opened, name) -> None:
    """The standard library's ways to run and to talk."""
    async with opened(limits=ROOMY) as box:
        await box.write_file("try.py", COMMANDS[name].encode())
        result = await box.run(["python3", "try.py"])
        assert (result.exit_code, result.stderr) == (0, b"")


@pytest.mark.parametrize(
    "command",
    [
        "git init -q r && cd r && echo a > a && git add a && git -c user.name=a -c user.email=b"
        " commit -qm m && git clone -q . ../c && git -C ../c log --oneline && git gc -q",
        "echo 'def test_a(): assert 1' > test_a.py && python3 -m pytest -q -p no:cacheprovider",
        "bash -c 'set -e; trap : EXIT; x=$(ls / | sort | head -3); cat <(echo hi); wait'",
        "tar cf a.tar /etc/passwd && tar tf a.tar && find / -xdev -name passwd; true",
        "ps -eo pid,args && cp -a /bin/ls x && ./x && touch -d yesterday x && ln x y && chmod +x y",
    ],
    ids=["git", "pytest", "bash", "tar and find", "tools"],
)
async def test_commands_run(opened, command) -> None:
    """The tools of the image do their work."""
    async with opened(limits=ROOMY) as box:
        result = await box.run(["sh", "-c", command])
    assert result.exit_code == 0, result.stderr


@pytest.fixture
def compiled(tmp_path: Path) -> bytes:
    """A program that gcc made, with threads, an alarm and a child."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc on this machine")
    (tmp_path / "p.c").write_text(
        "#include <pthread.h>\n#include <stdio.h>\n#include <unistd.h>\n"
        "void *f(void *x) { usleep(1000); return x; }\n"
        "int main() { pthread_t t; alarm(9); pthread_create(&t, 0, f, 0); pthread_join(t, 0);"
        ' FILE *p = popen("echo well", "r"); char b[9]; fgets(b, 9, p); puts(b); return 0; }\n'
    )
    out = tmp_path / "p"
    subprocess.run(["gcc", "-static", "-pthread", tmp_path / "p.c", "-o", out], check=True)
    return out.read_bytes()


async def test_a_compiled_program_runs(opened, compiled) -> None:
    """Static and with threads: another way to the kernel than the box's own C library."""
    async with opened(limits=ROOMY) as box:
        await box.write_file("p", compiled, mode=0o755)
        result = await box.run(["/work/p"])
    assert result.stdout.startswith(b"well"), result.stderr


@pytest.fixture
def node() -> dict[str, str]:
    """The host's Node and what it links to: names, and where they lie."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("there is no node on this machine")
    linked = subprocess.run(["ldd", found], capture_output=True, text=True, check=True).stdout
    paths = [found, *(word for word in linked.split() if word.startswith("/"))]
    return {Path(path).name: str(Path(path).resolve()) for path in paths}


NODE = """
const {Worker} = require("worker_threads"), http = require("http"), fs = require("fs");
fs.writeFileSync("x", "y");
require("child_process").execSync("true");
new Worker("setTimeout(() => {}, 1)", {eval: true}).on("exit", () => {
  const server = http.createServer((asked, answer) => answer.end("well"));
  server.listen(0, "127.0.0.1", () =>
    http.get({port: server.address().port, host: "localhost"}, answer =>
      answer.on("data", data => { console.log(String(data)); process.exit(0); })));
});
"""


async def test_node_runs(opened, node) -> None:
    """Node with a thread, a child, files and a server on the loopback device."""
    loader = next(name for name in node if "ld-linux" in name)
    run = f"chmod +x lib/*; exec lib/{loader} --library-path lib lib/node try.js"
    files = tuple((f"lib/{name}", path) for name, path in node.items())
    async with opened(limits=ROOMY, files=files) as box:
        await box.write_file("try.js", NODE.encode())
        result = await box.run(["sh", "-c", run])
    assert result.stdout == b"well\n", result.stderr
