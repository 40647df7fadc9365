"""The kind ``file``: files are delivered into one folder outside."""

from pathlib import Path
from typing import Annotated, ClassVar

import trio
from pydantic import Field

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors import paths, payloads, showing
from monastery.runtime.executors.context import Context, resolve
from monastery.runtime.executors.file_delivery import Conflict, deliver
from monastery.runtime.project import Size, StepSettings
from monastery.runtime.records import Outcome, Step

_MAX_FILES = 1000
_MAX_FOLDERS = 50
_MAX_DEPTH = 10


class FileSettings(StepSettings):
    """Settings of the kind ``file``.

    Attributes:
        folder: Where files are delivered; it must exist.
        overwrite: Whether a file that is there already may be replaced.
        max_bytes: The most that all files of one step may hold together.
    """

    folder: Annotated[str, Field(min_length=1)]
    overwrite: bool = False
    max_bytes: Size = 16 << 20


class _File(payloads.Strict):
    text: str | None = None
    base64: str | None = None


class _Files(payloads.Strict):
    files: Annotated[dict[str, _File], Field(min_length=1, max_length=_MAX_FILES)]


class FileExecutor:
    """Delivers files, all or none; a file that already has exactly these bytes is left alone.

    So the same step twice is one delivery, and a step of unknown outcome is carried out again:
    what is there stays, what is missing is added.
    """

    kind = "file"
    Settings: ClassVar[type[StepSettings]] = FileSettings

    def __init__(self, settings: FileSettings, context: Context) -> None:
        self._settings = settings
        self._folder = resolve(context.folder, settings.folder)

    @classmethod
    def faults(cls, settings: FileSettings, folder: Path) -> list[str]:
        """Return what is wrong with the target folder."""
        place = resolve(folder, settings.folder)
        if not place.is_dir():
            return [f"folder: {str(place)!r} is no folder; make it, or name another"]
        return []

    def check(self, payload: bytes) -> None:
        """Refuse what is not a set of files with plain relative paths."""
        self._read(payload)

    def render(self, payload: bytes) -> str:
        """Return each file's path, length, hash and content."""
        return "\n\n".join(
            f"{path}  {len(content)} bytes, sha256 {showing.sha256(content)}:\n"
            + showing.show(content)
            for path, content in self._read(payload).items()
        )

    async def execute(self, step: Step) -> Outcome:
        """Deliver the files, or say why none was delivered.

        Raises:
            PartlyDelivered: Some files were replaced before one could not be.
        """
        try:
            return await self._deliver(step)
        except Conflict as exc:
            return Outcome("failed", {"reason": str(exc)})

    async def reconcile(self, step: Step) -> Outcome | None:
        """Deliver what is missing; None when something is in the way, whoever put it there."""
        try:
            return await self._deliver(step)
        except Conflict:
            return None

    async def _deliver(self, step: Step) -> Outcome:
        files = self._read(step.payload)
        await trio.to_thread.run_sync(
            lambda: deliver(self._folder, files, tag=step.key, overwrite=self._settings.overwrite)
        )
        told = [
            {"path": path, "sha256": showing.sha256(content), "size_bytes": len(content)}
            for path, content in files.items()
        ]
        return Outcome("done", {"files": told})

    def _read(self, payload: bytes) -> dict[str, bytes]:
        """Return each file's bytes by path, in the payload's order."""
        named = payloads.parse(payload, _Files).files
        for path in named:
            fault = paths.fault_of(path)
            if fault is not None:
                raise BadPayload(f"the path {path[:120]!r} {fault}")
        folders = {path.rpartition("/")[0] for path in named}
        if len(folders) > _MAX_FOLDERS or max(path.count("/") for path in named) > _MAX_DEPTH:
            raise BadPayload(
                f"the files lie in more than {_MAX_FOLDERS} folders, or deeper than {_MAX_DEPTH}"
            )
        clash = paths.clash(list(named))
        if clash is not None:
            raise BadPayload(clash)
        files = {
            path: payloads.content(path, file.text, file.base64) for path, file in named.items()
        }
        total = sum(map(len, files.values()))
        if total > self._settings.max_bytes:
            raise BadPayload(f"the files hold {total} bytes, allowed {self._settings.max_bytes}")
        return files
