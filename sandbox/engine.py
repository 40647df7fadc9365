"""The Docker engine: containers, volumes and archives, through its SDK in threads.

The SDK's calls cannot be cancelled. What creates is awaited to its end, so that its caller can undo
it; what only reads may be abandoned. Every error of the SDK is translated here, and nowhere else.
"""

import contextlib
import socket
import ssl
import struct
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import docker
import docker.errors
import docker.tls
import docker.utils
import requests
import trio

from monastery.runtime.errors import EngineUnavailable, ImageUnfit
from monastery.sandbox.freezer import EnginePause
from monastery.sandbox.stream import Address, AttachedStream, attach, connect

T = TypeVar("T")

RUN_LABEL = "monastery.run"
OWNER_LABEL = "monastery.runtime"
PURPOSE_LABEL = "monastery.purpose"
HOME_LABEL = "monastery.home"

APART = "MonasteryApart"
"""What we add to an engine's words: whether it does not see what this process mounts."""

_MEND = "start it, or say with DOCKER_HOST where it is; `monastery doctor` tells more"


class Engine:
    """One engine, by default the one that the environment names, as for the docker command.

    Args:
        limit_seconds: How long one call may take.
    """

    def __init__(self, *, limit_seconds: float = 30.0) -> None:
        self._limit_seconds = limit_seconds
        self._api: Any = None
        self._address = Address(None)
        self._connecting = trio.Lock()

    async def connect(self) -> None:
        """Find the engine and see that it answers.

        Raises:
            EngineUnavailable: It does not.
        """
        async with self._connecting:
            if self._api is None:
                settings = docker.utils.kwargs_from_env()
                url = docker.utils.parse_host(
                    settings.get("base_url") or "unix:///var/run/docker.sock",
                    tls="tls" in settings,
                )
                self._address = _address(url, settings.get("tls"))
                await self._knock()
                self._api = await self._call(
                    partial(
                        docker.APIClient,
                        base_url=url,
                        tls=settings.get("tls", False),
                        version="auto",
                        timeout=self._limit_seconds,
                    ),
                    creates=False,
                )

    async def _knock(self) -> None:
        """See that somebody listens; the SDK would leak a socket to find out."""
        with trio.move_on_after(self._limit_seconds) as scope:
            try:
                stream = await connect(self._address)
            except OSError as exc:
                raise EngineUnavailable(f"no Docker engine answers ({exc}); {_MEND}") from exc
            await trio.aclose_forcefully(stream)
        if scope.cancelled_caught:
            raise EngineUnavailable(f"no Docker engine answers; {_MEND}")

    async def version(self) -> dict[str, Any]:
        """Return what version the engine says it is."""
        return dict(await self._call(lambda: self._api.version(), creates=False))

    async def info(self) -> dict[str, Any]:
        """Return what the engine says that it can do, and whether it has mounts of its own."""
        said = dict(await self._call(lambda: self._api.info(), creates=False))
        return {**said, APART: _has_own_mounts(self._address)}

    async def gateways(self) -> list[str]:
        """Return the addresses at which containers of its networks would find the host."""
        found = await self._call(lambda: self._api.networks(), creates=False)
        pools = [pool for net in found for pool in (net.get("IPAM") or {}).get("Config") or ()]
        return [pool["Gateway"] for pool in pools if pool.get("Gateway")]

    # Images.

    async def image(self, name: str) -> str:
        """Return an image's digest.

        Raises:
            ImageUnfit: There is no such image.
        """
        try:
            found = await self._call(partial(self._api.inspect_image, name), creates=False)
        except _Missing as exc:
            raise ImageUnfit(
                f"the engine has no image {name!r}; build it with `make setup`, or name another"
                " in the project's `box.image`"
            ) from exc
        return str(found["Id"])

    async def find_image(self, name: str) -> str | None:
        """Return an image's digest; None when there is no such image."""
        try:
            return await self.image(name)
        except ImageUnfit:
            return None

    async def image_details(self, image: str) -> dict[str, Any]:
        """Return all that the engine knows of an image that is there."""
        return dict(await self._call(partial(self._api.inspect_image, image), creates=False))

    async def image_config(self, digest: str) -> dict[str, Any]:
        """Return what an image says of how it is started."""
        return dict((await self.image_details(digest)).get("Config") or {})

    async def images(self, label: str) -> list[dict[str, Any]]:
        """Return the details of all images with a label that have a name."""
        asked = partial(self._api.images, filters={"label": label, "dangling": False})
        found = await self._call(asked, creates=False)
        return [await self.image_details(one["Id"]) for one in found]

    async def commit(
        self, container: str, repository: str, tag: str, config: dict[str, Any]
    ) -> str:
        """Make an image of a container that has ended; return its digest."""
        ask = partial(self._api.commit, container, repository, tag, conf=config)
        return str((await self._call(ask))["Id"])

    async def image_volumes(self, digest: str) -> list[str]:
        """Return the folders for which an image asks volumes."""
        return list((await self.image_config(digest)).get("Volumes") or {})

    # Volumes.

    async def volume(self, name: str) -> dict[str, Any] | None:
        """Return what the engine knows of a volume, None when there is none."""
        try:
            found: dict[str, Any] = await self._call(
                partial(self._api.inspect_volume, name), creates=False
            )
        except _Missing:
            return None
        return found

    async def create_volume(self, name: str, labels: dict[str, str]) -> dict[str, Any]:
        """Make a volume."""
        made: dict[str, Any] = await self._call(
            partial(self._api.create_volume, name, labels=labels)
        )
        return made

    async def remove_volume(self, name: str) -> None:
        """Remove a volume; one that is gone is no error."""
        await self._until_gone(partial(self._api.remove_volume, name, force=True))

    async def volumes(self, label: str) -> list[dict[str, Any]]:
        """Return the volumes with this label, or this label=value."""
        found = await self._call(
            partial(self._api.volumes, filters={"label": label}), creates=False
        )
        return list(found["Volumes"] or [])

    # Containers.

    async def create(self, config: dict[str, Any]) -> str:
        """Make a container, not started; return its id.

        Raises:
            ImageUnfit: The image is gone.
        """
        try:
            made = await self._call(partial(self._api.create_container_from_config, config))
        except _Missing as exc:
            raise ImageUnfit(f"the image {config['Image']!r} is gone: {exc}") from exc
        return str(made["Id"])

    async def start(self, container: str) -> None:
        """Start a container.

        Raises:
            ImageUnfit: The program that it is to run is not in the image.
        """
        try:
            await self._call(partial(self._api.start, container))
        except (_Missing, EngineUnavailable) as exc:
            if "executable file not found" in str(exc) or "no such file" in str(exc):
                raise ImageUnfit(
                    "the box image has no python3 on its PATH; a box image needs python3 3.8 or"
                    " later and nothing else"
                ) from exc
            raise

    async def inspect(self, container: str) -> dict[str, Any] | None:
        """Return what the engine knows of a container, None when there is none."""
        try:
            found: dict[str, Any] = await self._call(
                partial(self._api.inspect_container, container), creates=False
            )
        except _Missing:
            return None
        return found

    async def containers(self, label: str) -> list[dict[str, Any]]:
        """Return the containers with this label, or this label=value, running or not."""
        found = await self._call(
            partial(self._api.containers, all=True, filters={"label": label}), creates=False
        )
        return list(found)

    async def remove(self, container: str) -> None:
        """Kill and remove a container; one that is gone or on its way out is no error."""
        ask = partial(self._api.remove_container, container, force=True, v=True)
        await self._until_gone(ask)

    async def _until_gone(self, ask: Callable[[], None]) -> None:
        """Remove something, again when the engine is still busy with it.

        Raises:
            EngineUnavailable: It is busy for too long.
        """
        started = trio.current_time()
        while True:
            try:
                await self._call(ask)
            except _Missing:
                return
            except _Conflict:
                if trio.current_time() > started + self._limit_seconds:
                    raise
                await trio.sleep(0.01)
            else:
                return

    async def wait(self, container: str) -> None:
        """Wait until a container has ended."""
        with contextlib.suppress(_Missing):
            await self._call(partial(self._api.wait, container), creates=False)

    async def attach(self, container: str) -> AttachedStream:
        """Attach to a container's stdio.

        Raises:
            EngineUnavailable: The engine does not answer, or does not attach.
        """
        with trio.move_on_after(self._limit_seconds):
            return await attach(self._address, container)
        raise EngineUnavailable(
            f"the Docker engine does not attach within {self._limit_seconds} s; {_MEND}"
        )

    async def kept_log(self, container: str) -> bytes:
        """Return the end of what the engine keeps of a container's output, perhaps nothing."""
        try:
            found = await self._call(partial(self._api.logs, container, tail=10), creates=False)
        except EngineUnavailable as exc:
            if "logging driver" in str(exc) or "log driver" in str(exc):
                return b""
            raise
        return bytes(found)

    async def is_paused(self, container: str) -> bool:
        """Whether the engine says that it is paused."""
        found = await self.inspect(container)
        return found is not None and bool(found["State"]["Paused"])

    async def pause(self, container: str) -> None:
        """Pause a container.

        Raises:
            EnginePause.Refused: The engine said no, this time.
        """
        await self._pausing(self._api.pause, container)

    async def unpause(self, container: str) -> None:
        """Unpause a container.

        Raises:
            EnginePause.Refused: The engine said no, this time.
        """
        await self._pausing(self._api.unpause, container)

    async def _pausing(self, ask: Callable[[str], None], container: str) -> None:
        try:
            await self._call(partial(ask, container))
        except (_Missing, _Conflict, EngineUnavailable) as exc:
            raise EnginePause.Refused(str(exc)) from exc

    # Archives.

    async def put_archive(self, container: str, path: str, data: Iterable[bytes]) -> None:
        """Unpack a tar archive in a folder of a container."""
        await self._call(partial(self._api.put_archive, container, path, data))

    async def get_archive(
        self, container: str, path: str, take: Callable[[Iterator[bytes]], T]
    ) -> T | None:
        """Read a path of a container as a tar archive; None when there is no such path.

        Args:
            take: Reads the archive's pieces, in a thread; it may stop before their end.
        """

        def fetch() -> T:
            pieces, _ = self._api.get_archive(container, path)
            try:
                return take(pieces)
            finally:
                pieces.close()

        try:
            return await self._call(fetch, creates=False)
        except _Missing:
            return None

    # Machinery.

    async def _call(self, ask: Callable[[], T], *, creates: bool = True) -> T:
        """Call the SDK in a thread and translate what breaks.

        Raises:
            EngineUnavailable: The engine does not answer, or cannot do it.
        """
        try:
            return await trio.to_thread.run_sync(ask, abandon_on_cancel=not creates)
        except docker.errors.NotFound as exc:
            raise _Missing(str(exc.explanation)) from exc
        except docker.errors.APIError as exc:
            if exc.status_code == 409 or "is not running" in str(exc.explanation):
                raise _Conflict(f"the Docker engine says: {exc.explanation}") from exc
            raise EngineUnavailable(f"the Docker engine says: {exc.explanation}") from exc
        except (docker.errors.DockerException, requests.exceptions.RequestException) as exc:
            raise EngineUnavailable(f"no Docker engine answers ({_short(exc)}); {_MEND}") from exc


class _Missing(Exception):
    """The engine has no such thing."""


class _Conflict(EngineUnavailable):
    """The engine is doing something else with it.

    It says 409, or 500 where what it was about to kill ended by itself meanwhile.
    """


def _has_own_mounts(address: Address) -> bool:
    """Whether the engine at a socket is surely in another mount namespace than we are."""
    if address.path is None:
        return True
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(address.path)
            size = struct.calcsize("3i")
            told = door.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        pid = struct.unpack("3i", told)[0] or "self"  # 0: not in our process namespace
        theirs, ours = (Path(f"/proc/{who}/ns/mnt").stat() for who in (pid, "self"))
        return theirs.st_ino != ours.st_ino
    except OSError:
        return False


def _short(error: BaseException) -> str:
    text = str(error).replace("\n", " ")
    return text if len(text) < 200 else text[:200] + "…"


def _address(url: str, tls: docker.tls.TLSConfig | None) -> Address:
    """Return where to attach to; what is neither a socket nor TCP cannot carry a box.

    Raises:
        EngineUnavailable: It is of another kind.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme in ("unix", "http+unix"):
        return Address(parts.path or parts.netloc)
    if parts.scheme in ("tcp", "http", "https") and parts.hostname:
        context = None
        if tls is not None:
            context = ssl.create_default_context(cafile=tls.ca_cert or None)
            if not tls.verify:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            if tls.cert:
                context.load_cert_chain(*tls.cert)
        return Address(None, parts.hostname, parts.port or 2375, context)
    raise EngineUnavailable(
        f"DOCKER_HOST={url!r} is neither unix:// nor tcp://; forward the engine's socket and name"
        " that, e.g. with `ssh -L /tmp/docker.sock:/var/run/docker.sock HOST`"
    )
