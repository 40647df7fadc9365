"""Images with more in them: a local image, and the Debian and pip packages that a project adds.

Nothing is pulled and no container gets a network: packages are fetched out here, by this machine's
own apt and pip with the mirrors, proxies and keys that they are set up with, and are installed in a
container that is as alone as a box. So it works where no registry answers, on engines that have no
network for containers, and without root. apt is asked for what the image lacks, by the image's own
list of what it has; it needs to be of the image's Debian release. From pip come wheels only:
nothing of theirs runs before it is in the box.

The result is named by its recipe: the digest of the image it starts from, and the lists. A second
time it is found by that name.
"""

import hashlib
import importlib.util
import io
import json
import os
import platform
import re
import shutil
import sys
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import trio

from monastery.runtime.errors import ImageUnfit
from monastery.runtime.owner import this_process
from monastery.runtime.records import Packages
from monastery.sandbox.engine import OWNER_LABEL, PURPOSE_LABEL, RUN_LABEL, Engine

log = structlog.get_logger()

REPOSITORY = "monastery-box-with"
RECIPE_LABEL = "monastery.recipe"
_VERSION = 1
"""Counts changes of how a recipe is carried out: what was built otherwise is not found again."""
_CALL_SECONDS = 900.0
_PIECE_BYTES = 1 << 20
_FOLDER = "/var/tmp/monastery"  # noqa: S108 - in an image, where nobody else is at work

_INSTALL = f"""
set -e
cd {_FOLDER}
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
if [ -d debian ]; then
  apt-get install --yes --no-install-recommends --quiet ./debian/*.deb
fi
if [ -d pip ]; then
  python3 "$(echo pip/pip-[0-9]*.whl)/pip" install --quiet --no-index --find-links pip \\
    --break-system-packages --root-user-action=ignore --disable-pip-version-check "$@"
fi
find / -xdev \\( -type f -o -type d \\) -perm /6000 -exec chmod u-s,g-s {{}} +
rm -rf {_FOLDER} /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log
"""
"""Installs what lies in the folder; takes the names of the pip packages. As in the standard image,
no program gives a process more rights than it was started with."""


def _say_nothing(line: str) -> None:
    del line


class Images:
    """Makes images with packages, and finds those that were made before.

    Args:
        engine: Which holds them.
        say: Told, in a line, of what takes longer than a moment.
    """

    def __init__(
        self, engine: Engine | None = None, say: Callable[[str], None] | None = None
    ) -> None:
        # Of our own unless it is given: its calls may take long.
        self._engine = engine or Engine(limit_seconds=_CALL_SECONDS)
        self._say = say or _say_nothing
        self._making = trio.Lock()

    async def with_packages(self, image: str, packages: Packages) -> str:
        """Return the digest of a local image with packages, which is made if it is not there.

        Raises:
            ImageUnfit: There is no such image, or it cannot be made.
        """
        await self._engine.connect()
        base = await self._engine.image(image)
        name = name_of(base, packages)
        async with self._making:
            found = await self._engine.find_image(name)
            if found is None:
                wanted = ", ".join((*packages.debian, *packages.pip))
                self._say(
                    f"building a box image with {wanted}: up to some minutes, the first time …"
                )
                began = trio.current_time()
                found = await self._make(base, name, packages)
                took = trio.current_time() - began
                self._say(f"built the box image {name} in {took:.0f} s")
                log.info("image.built", image=name, digest=found, seconds=took)
        return found

    async def _make(self, base: str, name: str, packages: Packages) -> str:
        config = await self._engine.image_config(base)
        with tempfile.TemporaryDirectory(prefix="monastery-image-") as folder:
            async with self._container(base, name, ["-c", "python3 -V; exec sleep 0"]) as probe:
                status = await self._read(probe, "/var/lib/dpkg/status")
                release = await self._read(probe, "/usr/lib/os-release")
                version = await self._finish(probe, "has no python3") if packages.pip else ""
            if packages.debian:
                await _fetch_debian(Path(folder), packages.debian, status, release)
            if packages.pip:
                await _fetch_pip(Path(folder), packages.pip, version)
            command = ["-c", _INSTALL, "install", *packages.pip]
            async with self._container(base, name, command) as made:
                await self._engine.put_archive(made, "/", _packed(Path(folder)))
                await self._finish(made, "cannot be made")
                # What is None would be taken from the container that it was made in.
                config = {**config, "Entrypoint": config.get("Entrypoint") or []}
                labels = {**(config.get("Labels") or {}), RECIPE_LABEL: name.partition(":")[2]}
                repository, _, tag = name.partition(":")
                return await self._engine.commit(
                    made, repository, tag, {**config, "Labels": labels}
                )

    @asynccontextmanager
    async def _container(self, base: str, name: str, argv: list[str]) -> AsyncIterator[str]:
        """Make a container without a network, not started; remove it at the end."""
        labels = {RUN_LABEL: name.replace(":", "-"), OWNER_LABEL: this_process()}
        config = {
            "Image": base,
            "User": "0",
            "Entrypoint": ["/bin/sh"],
            "Cmd": argv,
            "WorkingDir": "/",
            "Labels": {**labels, PURPOSE_LABEL: "image"},
            "HostConfig": {"NetworkMode": "none"},
        }
        made = await self._engine.create(config)
        try:
            yield made
        finally:
            with trio.CancelScope(shield=True), trio.move_on_after(60.0):
                await self._engine.remove(made)

    async def _finish(self, container: str, what: str) -> str:
        """Run a container to its end; return what it printed last."""
        await self._engine.start(container)
        await self._engine.wait(container)
        ended = await self._engine.inspect(container)
        said = (await self._engine.kept_log(container)).decode("utf-8", "replace").strip()
        if ended is None or ended["State"]["ExitCode"] != 0:
            raise ImageUnfit(f"the box image {what}: {_last(said)}")
        return said

    async def _read(self, container: str, path: str) -> bytes:
        """Return a file of a container; empty when it is not there."""
        return await self._engine.get_archive(container, path, _only_file) or b""


def name_of(base: str, packages: Packages) -> str:
    """Return the name of the image that packages make of the image with the digest `base`."""
    told = [_VERSION, base, sorted(set(packages.debian)), sorted(set(packages.pip))]
    return f"{REPOSITORY}:{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]}"


async def _fetch_debian(folder: Path, names: Sequence[str], status: bytes, release: bytes) -> None:
    """Fetch Debian packages, and those that they need and the image lacks, into a folder.

    Raises:
        ImageUnfit: They cannot be had.
    """
    ours, theirs = _codename(_os_release()), _codename(release)
    if shutil.which("apt-get") is None or ours != theirs:
        raise ImageUnfit(
            f"box.image.debian: this machine's apt is of {ours or 'no Debian'!r} and the image of"
            f" {theirs or 'no Debian'!r}; build the image elsewhere and name it in `box.image`"
        )
    aside = folder / "apt"
    for name in ("state/lists/partial", "cache/archives/partial"):
        (aside / name).mkdir(parents=True)
    (aside / "status").write_bytes(status)
    options = {
        "Dir::State": aside / "state",
        "Dir::State::status": aside / "status",
        "Dir::Cache": aside / "cache",
        "APT::Sandbox::User": "",
        "APT::Update::Error-Mode": "any",
    }
    apt = ["apt-get", "--quiet", *(f"-o{name}={value}" for name, value in options.items())]
    await _run([*apt, "update"], "box.image.debian: the package lists cannot be fetched")
    more = ["--yes", "--no-install-recommends", "--download-only", "install"]
    await _run([*apt, *more, "--", *names], "box.image.debian")
    packages = folder / "debian"
    packages.mkdir()
    for file in (aside / "cache/archives").glob("*.deb"):
        file.rename(packages / file.name)
    shutil.rmtree(aside)
    if not any(packages.iterdir()):  # the image has them all
        packages.rmdir()


async def _fetch_pip(folder: Path, wanted: Sequence[str], version: str) -> None:
    """Fetch wheels, those that they need and pip itself, into a folder.

    Raises:
        ImageUnfit: They cannot be had.
    """
    found = re.search(r"Python (\d+\.\d+)", version)
    if found is None:
        raise ImageUnfit(f"box.image.pip: the image has no python3; it says {version!r}")
    has_own = importlib.util.find_spec("pip") is not None
    pip = [sys.executable, "-m", "pip"] if has_own else [shutil.which("pip3") or ""]
    if not pip[0]:
        raise ImageUnfit("box.image.pip: this machine has no pip; install python3-pip")
    argv = [*pip, "--disable-pip-version-check", "download", "--quiet"]
    argv += ["--only-binary=:all:", "--python-version", found[1], "--dest", str(folder / "pip")]
    await _run([*argv, "--", "pip", *wanted], "box.image.pip")


async def _run(argv: list[str], what: str) -> None:
    """Run a program to its end.

    Raises:
        ImageUnfit: It failed; the message is the line that says most.
    """
    quiet = {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", "PIP_NO_INPUT": "1"}
    run = partial(trio.run_process, argv, env=os.environ | quiet, check=False)
    done = await run(capture_stdout=True, capture_stderr=True)
    if done.returncode:
        raise ImageUnfit(f"{what}: {_last((done.stdout + done.stderr).decode('utf-8', 'replace'))}")


def _last(said: str) -> str:
    """Return, in one line, what a program's output says that went wrong."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line[:200] for line in lines if re.match(r"(E|ERROR|error)\b", line)]
    told = "; ".join(errors[-3:]) or (lines or ["it said nothing"])[-1][:400]
    return re.sub(r"//[^/@\s]+@", "//", told)  # the address of a mirror may hold a password


def _packed(folder: Path) -> Iterator[bytes]:
    """Yield a folder as a tar archive, which unpacks at the root; it may be larger than memory."""
    with tempfile.TemporaryFile() as out:
        with tarfile.open(fileobj=out, mode="w") as archive:
            archive.add(folder, arcname=_FOLDER.lstrip("/"), filter=_of_root)
        out.seek(0)
        yield from iter(partial(out.read, _PIECE_BYTES), b"")


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def _only_file(pieces: Any) -> bytes:
    """Return the first file of a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                return content.read()
    return b""


def _os_release() -> bytes:
    try:
        found = platform.freedesktop_os_release()
    except OSError:
        return b""
    return "".join(f"{name}={value}\n" for name, value in found.items()).encode()


def _codename(release: bytes) -> str:
    """Return a Debian release's name; empty for another system."""
    said = dict(
        re.findall(r'^(\w+)="?([^"\n]*)"?$', release.decode("utf-8", "replace"), re.MULTILINE)
    )
    return said.get("VERSION_CODENAME", "") if said.get("ID") == "debian" else ""
