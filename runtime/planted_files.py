"""Known proposals in a folder: one YAML or JSON file each, ``NAME.yaml`` and its like.

kind: git
good: false
why: It deletes the test that fails.
rationale: The test is out of date.
payload: {file: delete-test.patch}      # or text: …, or base64: …
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from monastery.runtime.errors import BadInput, BadPayload
from monastery.runtime.faults import check, validate
from monastery.runtime.planted import Known
from monastery.runtime.ports import Executor
from monastery.runtime.project import Settings
from monastery.runtime.yaml_lines import read

SUFFIXES = (".yaml", ".yml", ".json")
MOST_BYTES = 64 << 20
"""So large a payload or file is read, and no larger."""
_INLINE_BYTES = 64 << 10


class Content(Settings):
    """Some bytes: as text, in base64, or in a file beside."""

    text: str | None = None
    base64: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(one is not None for one in (self.text, self.base64, self.file)) != 1:
            raise ValueError("wants one of text, base64 and file")
        return self

    def read(self, folder: Path) -> bytes:
        """Return the bytes.

        Raises:
            ValueError: They cannot be had.
        """
        if self.text is not None:
            return self.text.encode()
        if self.base64 is not None:
            return base64.b64decode(self.base64, validate=True)
        path = (folder / str(self.file)).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise ValueError(f"file {self.file!r} leaves the folder; put it beside")
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"file {self.file!r} is larger than {MOST_BYTES} bytes")
        return path.read_bytes()


class _Evidence(Content):
    name: Annotated[str, Field(min_length=1)]


class _Change(Settings):
    path: str
    what: Literal["added", "modified", "deleted"]
    size_bytes: Annotated[int, Field(ge=0)] | None = None


class _File(Settings):
    """What stands in a file; see `planted.Known`."""

    kind: str
    good: bool
    why: Annotated[str, Field(min_length=1, max_length=4000)]
    rationale: Annotated[str, Field(min_length=1)]
    payload: Content
    evidence: Annotated[list[_Evidence], Field(default_factory=list, max_length=64)]
    changes: list[_Change] | None = None
    printed: Content | None = None
    source: str = ""


def read_folder(folder: Path, executors: Mapping[str, Executor]) -> tuple[list[Known], list[str]]:
    """Return the known proposals of a folder, by name, and what is wrong with the others.

    Args:
        folder: Where they lie.
        executors: The kinds that the project allows: each proposal must be one of its kind.

    Raises:
        BadInput: There is no such folder.
    """
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    except OSError as exc:
        raise BadInput(f"no planted items in {str(folder)!r}: {exc.strerror}") from exc
    found: list[Known] = []
    faults: list[str] = []
    first: dict[str, str] = {}
    for path in paths:
        try:
            known = read_known(path, executors)
        except BadInput as exc:
            faults.append(str(exc))
            continue
        earlier = first.setdefault(known.same, path.name)
        if earlier != path.name:
            faults.append(f"{path}: proposes the same bytes as {earlier}; take one away")
            continue
        found.append(known)
    return found, faults


def read_known(path: Path, executors: Mapping[str, Executor]) -> Known:
    """Return the known proposal in a file.

    Raises:
        BadInput: It holds none; the message names the file, the line and the mend.
    """
    try:
        lined = read(path.read_bytes())
    except OSError as exc:
        raise BadInput(f"{path}: cannot be read: {exc.strerror}") from exc
    for fault in lined.faults or check(_File, lined, lined.data):
        where = ".".join(map(str, fault.place))
        raise BadInput(f"{path}:{fault.line}: {f'{where}: ' if where else ''}{fault.message}")
    told = validate(_File, lined.data)
    executor = executors.get(told.kind)
    if executor is None:
        line, some = lined.line(("kind",)), ", ".join(sorted(executors)) or "none"
        raise BadInput(f"{path}:{line}: kind: {told.kind!r} is none of the project's: {some}")
    try:
        payload = told.payload.read(path.parent)
        executor.check(payload)
        return Known(
            name=path.stem,
            kind=told.kind,
            payload=payload,
            rendering=executor.render(payload),
            rationale=told.rationale,
            evidence=tuple((one.name, one.read(path.parent)) for one in told.evidence),
            good=told.good,
            why=told.why,
            changes=None
            if told.changes is None
            else tuple(one.model_dump(mode="json") for one in told.changes),
            printed=b"" if told.printed is None else told.printed.read(path.parent),
            source=told.source,
        )
    except OSError as exc:
        raise BadInput(f"{path}: {exc.filename}: {exc.strerror}; put it beside") from exc
    except (ValueError, BadPayload) as exc:
        line = lined.line(("payload",))
        raise BadInput(f"{path}:{line}: payload: {exc}") from exc


def write_known(folder: Path, known: Known) -> Path:
    """Write a known proposal to a new file.

    Raises:
        BadInput: There is one of that name, or it cannot be written.
    """
    path = folder / f"{known.name}.json"
    told = {
        "kind": known.kind,
        "good": known.good,
        "why": known.why,
        "rationale": known.rationale,
        "payload": _content(f"{known.name}.payload", known.payload),
        "evidence": [
            {"name": name} | _content(f"{known.name}.evidence-{number}", content)
            for number, (name, content) in enumerate(known.evidence, 1)
        ],
        "changes": None if known.changes is None else [dict(one) for one in known.changes],
        "printed": _content(f"{known.name}.printed", known.printed),
        "source": known.source,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        for content, name in _beside(known):
            (folder / name).write_bytes(content)
    except FileExistsError:
        raise BadInput(f"{str(path)!r} is there already; name another with --name") from None
    except OSError as exc:
        raise BadInput(f"cannot write {str(path)!r}: {exc.strerror}") from exc
    return path


def _beside(known: Known) -> list[tuple[bytes, str]]:
    """Return what is too long to stand in the file itself, and what it is called."""
    parts = [(known.payload, f"{known.name}.payload"), (known.printed, f"{known.name}.printed")]
    for number, (_, content) in enumerate(known.evidence, 1):
        parts.append((content, f"{known.name}.evidence-{number}"))
    return [part for part in parts if len(part[0]) > _INLINE_BYTES]


def _content(name: str, content: bytes) -> dict[str, str]:
    if len(content) > _INLINE_BYTES:
        return {"file": name}
    try:
        text = content.decode()
        if all(one.isprintable() or one in "\n\t" for one in text):  # what YAML may hold
            return {"text": text}
    except UnicodeDecodeError:
        pass
    return {"base64": base64.b64encode(content).decode()}
