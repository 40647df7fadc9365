"""Scripts of packages: each runs while it is installed, and never with a network."""

import contextlib
import hashlib
import io
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker
import pytest
import trio

from monastery.runtime.records import Packages
from monastery.sandbox.engine import Engine
from monastery.sandbox.images import Images

BASE = "monastery-box:latest"
WITH_A_MIRROR = "monastery-test-mirror:latest"
CONTROL = """Package: phones-home
Version: 1
Architecture: all
Maintainer: Nobody <nobody@example.invalid>
Description: tells somebody when it is installed
"""
SCRIPT = """#!/bin/sh
tail -n +3 /proc/net/dev > /var/lib/phones-home
python3 -c 'import urllib.request as u; u.urlopen("{url}/installed", timeout=60)' || true
"""


@dataclass
class Mirror:
    """A server of one package, as containers of the engine's usual network find it.

    Attributes:
        asked: The paths that were asked for.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def source(self) -> str:
        """The line for apt."""
        return f"deb [trusted=yes] {self.url} ./\n"

    def publish(self, folder: Path) -> None:
        """Make a package whose script asks this server for /installed."""
        (folder / "DEBIAN").mkdir(parents=True)
        (folder / "DEBIAN/control").write_text(CONTROL)
        (folder / "DEBIAN/postinst").write_text(SCRIPT.format(url=self.url))
        (folder / "DEBIAN/postinst").chmod(0o755)
        made = folder.parent / "phones-home.deb"
        argv = ["dpkg-deb", "--root-owner-group", "--build", str(folder), str(made)]
        subprocess.run(argv, check=True, capture_output=True)
        content = made.read_bytes()
        told = f"Filename: ./{made.name}\nSize: {len(content)}\n"
        told += f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
        self.files = {f"/{made.name}": content, "/Packages": (CONTROL + told).encode()}


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    """A mirror with the package."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.replace("/./", "/")
            told.asked.append(path)
            content = told.files.get(path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    (host,) = trio.run(_gateways)[:1]
    server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
    told = Mirror(f"http://{host}:{server.server_port}")
    told.publish(tmp_path / "phones-home")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def _gateways() -> list[str]:
    engine = Engine()
    await engine.connect()
    return await engine.gateways()


Run = Callable[..., str]


@pytest.fixture
def in_image() -> Iterator[Run]:
    """Runs a command in an image, in a container of the engine's usual kind; the image goes."""
    client, used = docker.from_env(), []

    def run(image: str, *argv: str) -> str:
        used.append(image)
        return str(client.containers.run(image, list(argv), remove=True).decode())

    yield run
    for image in used:
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.images.remove(image, force=True)
    client.close()


@pytest.mark.deadline(1200)
async def test_a_script_of_a_fetched_package_has_no_network(
    mirror: Mirror, in_image: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fetched by this machine's apt; where the script runs there is a loopback and no more."""
    (tmp_path / "sources.list").write_text(mirror.source)
    where = f'Dir::Etc::SourceList "{tmp_path}/sources.list"; Dir::Etc::SourceParts "/dev/null";'
    (tmp_path / "apt.conf").write_text(where)
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    _check(await Images().with_packages(BASE, Packages(debian=("phones-home",))), mirror, in_image)


@pytest.mark.deadline(1200)
async def test_where_the_image_fetches_itself_no_script_runs(mirror: Mirror, in_image: Run) -> None:
    """That container has a network, and only fetches; the script runs in another, without one."""
    client = docker.from_env()
    made = client.containers.create(BASE)
    try:
        made.put_archive("/etc/apt", _archived("sources.list", mirror.source.encode()))
        made.commit(*WITH_A_MIRROR.split(":"))
        images = Images(own_apt=False)
        digest = await images.with_packages(WITH_A_MIRROR, Packages(debian=("phones-home",)))
        _check(digest, mirror, in_image)
    finally:
        made.remove(force=True)
        client.images.remove(WITH_A_MIRROR, force=True)
        client.close()


def _check(digest: str, mirror: Mirror, in_image: Run) -> None:
    """See that the script ran, what it saw, and that nobody heard of it."""
    seen = in_image(digest, "cat", "/var/lib/phones-home")
    assert [line.split(":")[0].strip() for line in seen.splitlines()] == ["lo"]
    assert "/phones-home.deb" in mirror.asked
    assert "/installed" not in mirror.asked


def test_a_container_of_the_usual_kind_does_reach_the_mirror(mirror: Mirror, in_image: Run) -> None:
    """The positive control: where there is a network, the script's words are heard."""
    client = docker.from_env()
    code = SCRIPT.format(url=mirror.url).splitlines()[-1]
    client.containers.run(BASE, ["sh", "-c", code], remove=True, user="0")
    client.close()
    assert mirror.asked == ["/installed"]


def _archived(name: str, content: bytes) -> bytes:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return whole.getvalue()
