"""Images with more in them: a local image, and the Debian and pip packages that a project adds.

Packages are fetched out here, by this machine's own apt and pip (`packages`), and are installed in
a container without a network. So it works where no registry answers, on engines that have no
network for containers, and without root. apt is asked for what the image lacks, by the image's own
list of what it has. Where this machine has no apt of the image's release, the image's own fetches,
in a container with the engine's usual network that is thrown away: nothing is installed there. From
pip come wheels only. So no script of a package ever runs with a network.

The result is named by its recipe: the digest of the image it starts from, and the lists. A second
time it is found by that name.
"""

import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import trio

from monastery.runtime.errors import ImageUnfit
from monastery.runtime.owner import this_process
from monastery.runtime.records import Packages
from monastery.sandbox.engine import OWNER_LABEL, PURPOSE_LABEL, RUN_LABEL, Engine
from monastery.sandbox.packages import fetch_debian, fetch_pip, has_apt_for, last

log = structlog.get_logger()

REPOSITORY = "monastery-box-with"
RECIPE_LABEL = "monastery.recipe"
BASE_LABEL = "monastery.base"
PACKAGES_LABEL = "monastery.packages"
_VERSION = 2
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


_FETCH = """
set -e
if [ -z "$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null)" ]; then
  . /usr/lib/os-release
  for place in "debian $VERSION_CODENAME" "debian-security $VERSION_CODENAME-security"; do
    echo "deb http://deb.debian.org/$place main" >> /etc/apt/sources.list
  done
fi
apt-get --quiet -o APT::Update::Error-Mode=any update
apt-get --quiet --yes --no-install-recommends --download-only install -- "$@"
"""


def _say_nothing(line: str) -> None:
    del line


@dataclass(frozen=True, slots=True)
class BoxImage:
    """What is to be known of an image.

    Attributes:
        made: When, in ISO 8601.
        base: The digest of the image that packages were added to; None for one as it came, empty
            where an earlier version made it and did not note that.
        debian: The Debian packages that were added.
        pip: The pip packages that were added.
    """

    name: str
    digest: str
    size_bytes: int
    made: str
    base: str | None
    debian: tuple[str, ...]
    pip: tuple[str, ...]


class Images:
    """Makes images with packages, and finds those that were made before.

    Args:
        engine: Which holds them.
        say: Told, in a line, of what takes longer than a moment.
        own_apt: Whether this machine's apt is used where it fits; the other way is there for other
            machines, and for tests.
    """

    def __init__(
        self,
        engine: Engine | None = None,
        say: Callable[[str], None] | None = None,
        *,
        own_apt: bool = True,
    ) -> None:
        # Of our own unless it is given: its calls may take long.
        self._engine = engine or Engine(limit_seconds=_CALL_SECONDS)
        self._say = say or _say_nothing
        self._own_apt = own_apt
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

    async def facts(self, image: str, packages: Packages | None) -> BoxImage:
        """Return what is to be known of an image, which is made if packages are to be added.

        Raises:
            ImageUnfit: There is no such image, or it cannot be made.
        """
        await self._engine.connect()
        if packages is None:
            await self._engine.image(image)  # says what to do when it is not there
            return _facts(image, await self._engine.image_details(image))
        digest = await self.with_packages(image, packages)
        return _facts(None, await self._engine.image_details(digest))

    async def all(self, standard: str) -> list[BoxImage]:
        """Return the standard image, if it is there, and all with packages, the newest first."""
        await self._engine.connect()
        made = [_facts(None, one) for one in await self._engine.images(RECIPE_LABEL)]
        made.sort(key=lambda one: one.made, reverse=True)
        if await self._engine.find_image(standard) is None:
            return made
        return [_facts(standard, await self._engine.image_details(standard)), *made]

    async def _make(self, base: str, name: str, packages: Packages) -> str:
        config = await self._engine.image_config(base)
        with tempfile.TemporaryDirectory(prefix="monastery-image-") as folder:
            async with self._container(base, name, ["-c", "python3 -V; exec sleep 0"]) as probe:
                status = await self._read(probe, "/var/lib/dpkg/status")
                release = await self._read(probe, "/usr/lib/os-release")
                version = await self._finish(probe, "has no python3") if packages.pip else ""
            if packages.debian and not status:
                raise ImageUnfit("box.image.debian: the image is no Debian; it has no dpkg")
            if packages.debian and self._own_apt and has_apt_for(release):
                await fetch_debian(Path(folder), packages.debian, status)
            elif packages.debian:
                await self._fetch_inside(base, name, Path(folder), packages.debian)
            if packages.pip:
                await fetch_pip(Path(folder), packages.pip, version)
            command = ["-c", _INSTALL, "install", *packages.pip]
            async with self._container(base, name, command) as made:
                await self._engine.put_archive(made, "/", _packed(Path(folder)))
                await self._finish(made, "cannot be made")
                # What is None would be taken from the container that it was made in.
                config = {**config, "Entrypoint": config.get("Entrypoint") or []}
                repository, _, tag = name.partition(":")
                told = {"debian": packages.debian, "pip": packages.pip}
                labels = {**(config.get("Labels") or {}), RECIPE_LABEL: tag, BASE_LABEL: base}
                labels[PACKAGES_LABEL] = json.dumps(told)
                return await self._engine.commit(
                    made, repository, tag, {**config, "Labels": labels}
                )

    async def _fetch_inside(
        self, base: str, name: str, folder: Path, debian: Sequence[str]
    ) -> None:
        """Fetch Debian packages by the image's own apt; no package's script runs there."""
        argv = ["-c", _FETCH, "fetch", *debian]
        async with self._container(base, name, argv, network="default") as fetching:
            await self._finish(fetching, "cannot be made; box.image.debian")
            found = await self._engine.get_archive(
                fetching, "/var/cache/apt/archives", partial(_unpack_debs, folder / "debian")
            )
        if not found:  # the image has them all
            (folder / "debian").rmdir()

    @asynccontextmanager
    async def _container(
        self, base: str, name: str, argv: list[str], *, network: str = "none"
    ) -> AsyncIterator[str]:
        """Make a container, not started; remove it at the end."""
        labels = {RUN_LABEL: name.replace(":", "-"), OWNER_LABEL: this_process()}
        config = {
            "Image": base,
            "User": "0",
            "Entrypoint": ["/bin/sh"],
            "Cmd": argv,
            "WorkingDir": "/",
            "Labels": {**labels, PURPOSE_LABEL: "image"},
            "HostConfig": {"NetworkMode": network},
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
            raise ImageUnfit(f"the box image {what}: {last(said)}")
        return said

    async def _read(self, container: str, path: str) -> bytes:
        """Return a file of a container; empty when it is not there."""
        return await self._engine.get_archive(container, path, _only_file) or b""


def name_of(base: str, packages: Packages) -> str:
    """Return the name of the image that packages make of the image with the digest `base`."""
    told = [_VERSION, base, sorted(set(packages.debian)), sorted(set(packages.pip))]
    return f"{REPOSITORY}:{hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]}"


def _facts(name: str | None, details: Mapping[str, Any]) -> BoxImage:
    """Return what the engine knows of an image; `name` is what somebody called it."""
    labels = (details.get("Config") or {}).get("Labels") or {}
    added = json.loads(labels.get(PACKAGES_LABEL, "{}"))
    return BoxImage(
        name=name or next(iter(details.get("RepoTags") or ()), "(no name)"),
        digest=details["Id"],
        size_bytes=details["Size"],
        made=details["Created"],
        base=labels.get(BASE_LABEL, "") if RECIPE_LABEL in labels else None,
        debian=tuple(added.get("debian", ())),
        pip=tuple(added.get("pip", ())),
    )


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


def _unpack_debs(folder: Path, pieces: Iterator[bytes]) -> int:
    """Put the packages of a tar archive into a folder; return how many there are."""
    folder.mkdir()
    with tempfile.TemporaryFile() as kept:
        for piece in pieces:
            kept.write(piece)
        kept.seek(0)
        with tarfile.open(fileobj=kept) as archive:
            debs = [one for one in archive if one.isfile() and one.name.endswith(".deb")]
            for one in debs:
                content = archive.extractfile(one)
                assert content is not None, "it is a file"
                with (folder / Path(one.name).name).open("wb") as file:
                    shutil.copyfileobj(content, file)
    return len(debs)


def _only_file(pieces: Any) -> bytes:
    """Return the first file of a tar archive."""
    with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                return content.read()
    return b""
