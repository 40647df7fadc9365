"""The project file: from YAML to a `Project`, with every fault at once and the line of each.

A fault reads ``FILE:LINE: field.path: what is wrong; the mend``. Nothing in the file is expanded:
no environment variables, no includes, no tags.
"""

import importlib.util
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from monastery.runtime.errors import BadInput, ProjectInvalid
from monastery.runtime.executors import KINDS
from monastery.runtime.faults import check, did_you_mean, validate
from monastery.runtime.model_folder import why_no_model
from monastery.runtime.project import (
    AuditSettings,
    BuiltinAgentSettings,
    CachedWeb,
    CachedWebSettings,
    CommandAuditorSettings,
    FileSettings,
    LocalPolicySettings,
    PersonAuditorSettings,
    Project,
    ScriptedPolicySettings,
    Size,
    StepSettings,
)
from monastery.runtime.yaml_lines import MAX_BYTES, Fault, Lined, Place, read

_SIZE: TypeAdapter[int] = TypeAdapter(Size)
_CACHED_WEB: TypeAdapter[CachedWebSettings] = TypeAdapter(CachedWeb)
_ZIM_MAGIC = b"ZIM\x04"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A project with where it came from.

    Attributes:
        folder: The project file's folder, absolute; relative paths in it are relative to this.
        path: The project file, absolute.
        source: The file's bytes, as the journal keeps them.
    """

    project: Project
    folder: Path
    path: Path
    source: bytes


def load(path: Path) -> Loaded:
    """Read a project file.

    Raises:
        ProjectInvalid: It cannot be read, or something in it is wrong.
    """
    try:
        with path.open("rb") as file:
            source = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ProjectInvalid([f"{path}: no such file; name a project file"]) from None
    except IsADirectoryError:
        raise ProjectInvalid([f"{path}: is a folder; name the YAML file in it"]) from None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise ProjectInvalid([f"{path}: cannot be read: {reason}"]) from exc
    return parse(source, path)


def parse(source: bytes, path: Path, *, on_disk: bool = True) -> Loaded:
    """Return the project that some bytes hold; `path` is where they come from.

    Args:
        on_disk: Whether the files and programs that it names must be there; to read about a run
            that is over they need not.

    Raises:
        ProjectInvalid: Something in it is wrong.
    """
    lined = read(source)
    folder = path.parent.resolve()
    faults = list(lined.faults)
    if lined.data is not None or not faults:
        known = {fault.place for fault in faults if fault.place}
        faults += (fault for fault in _shape(lined) if fault.place not in known)
        faults += _world(lined, folder) if on_disk else ()
    if faults:
        faults = sorted(dict.fromkeys(faults), key=lambda fault: fault.line)
        raise ProjectInvalid([_told(path, fault) for fault in faults])
    steps = {kind: _step(kind, raw) for kind, raw in lined.data["steps"].items()}
    project = validate(Project, _without_steps(lined.data)).model_copy(update={"steps": steps})
    return Loaded(project, folder, folder / path.name, source)


def size_bytes(text: str, field: str) -> int:
    """Return the bytes that a size on a command line means, e.g. ``512MiB``; `field` is its option.

    Raises:
        BadInput: It is no size.
    """
    try:
        return _SIZE.validate_python(int(text) if text.isdecimal() else text)
    except ValidationError as exc:
        raise BadInput(f"{field}: {text!r} is no size; write bytes or, say, 512MiB") from exc


def schema() -> dict[str, Any]:
    """Return the JSON schema of a project file, with the fields of every step kind."""
    whole = Project.model_json_schema()
    kinds = {}
    for kind, executor in sorted(KINDS.items()):
        own = executor.Settings.model_json_schema()
        whole["$defs"] |= own.pop("$defs", {})
        name = f"{executor.Settings.__module__.rpartition('.')[2]}.{executor.Settings.__name__}"
        whole["$defs"][name] = own
        kinds[kind] = {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]}
    whole["$defs"].pop("StepSettings", None)
    whole["properties"]["steps"] |= {"properties": kinds, "additionalProperties": False}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole}


def _told(path: Path, fault: Fault) -> str:
    where = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in fault.place)
    field = where.removeprefix(".") or "the file"
    return " ".join(f"{path}:{fault.line}: {field}: {fault.message}".split())


def _step(kind: str, raw: Any) -> StepSettings:
    settings: StepSettings = validate(KINDS[kind].Settings, {} if raw is None else raw)
    return settings


def _without_steps(data: dict[str, Any]) -> dict[str, Any]:
    """Return the document with bare step kinds, whose own settings the kinds themselves check."""
    steps = data.get("steps")
    return {**data, "steps": {kind: {} for kind in steps}} if isinstance(steps, dict) else data


def _shape(lined: Lined) -> Iterator[Fault]:
    """Yield what is wrong with the file by itself."""
    data = lined.data
    if not isinstance(data, dict):
        # Not shown: who names the wrong file (a key, an .env) would find it in the logs.
        yield Fault((), 1, "holds no project; write a mapping that begins with `name:`")
        return
    yield from check(Project, lined, _without_steps(data))
    steps = data.get("steps")
    for kind, raw in steps.items() if isinstance(steps, dict) else ():
        place: Place = ("steps", kind)
        if kind not in KINDS:
            mend = did_you_mean(kind, KINDS, "kinds")
            yield Fault(place, lined.line(place), f"is no step kind; {mend}")
        elif raw is not None:
            yield from check(KINDS[kind].Settings, lined, raw, place)


def _world(lined: Lined, folder: Path) -> Iterator[Fault]:
    """Yield what is wrong with the parts that are in shape, on this machine."""
    data = lined.data if isinstance(lined.data, dict) else {}
    yield from _box_files(_list(data, "box", "files"), lined, folder)
    yield from _auditors(_list(data, "audit", "auditors"), lined, folder)
    policy = _part(ScriptedPolicySettings, data.get("policy"))
    if policy is not None and not (folder / policy.scripted).is_file():
        yield _fault(lined, "policy", "scripted", message=_no_file(folder, policy.scripted))
    local = _part(LocalPolicySettings, data.get("policy"))
    lacking = None if local is None else why_no_model(folder / local.local)
    if lacking is not None:
        yield _fault(lined, "policy", "local", message=lacking)
    yield from _builtin(data, lined)
    yield from _cached_web(data.get("cached_web"), lined, folder)
    steps = data.get("steps")
    kinds: dict[str, StepSettings] = {}
    for kind, raw in steps.items() if isinstance(steps, dict) else ():
        settings = (
            _part(KINDS[kind].Settings, {} if raw is None else raw) if kind in KINDS else None
        )
        if settings is not None:
            kinds[kind] = settings
            yield from _kind_faults(kind, settings, lined, folder)
    audit = _part(AuditSettings, data.get("audit", {}))
    if audit is not None:
        yield from _rates(audit, kinds, lined)
        planted = audit.planted
        if planted is not None and not (folder / planted.folder).is_dir():
            message = f"no folder {planted.folder!r} in {str(folder)!r}; make it, or leave it out"
            yield _fault(lined, "audit", "planted", "folder", message=message)


def _part(model: type[BaseModel], raw: Any) -> Any:
    """Return a part of the document as its model, or None when it is not in shape."""
    try:
        return validate(model, raw)
    except ValueError:
        return None


def _list(data: dict[str, Any], section: str, field: str) -> list[Any]:
    """Return a list in a section, or none when it is not in shape."""
    inside = data.get(section)
    found = inside.get(field) if isinstance(inside, dict) else None
    return found if isinstance(found, list) else []


def _kind_faults(kind: str, settings: StepSettings, lined: Lined, folder: Path) -> Iterator[Fault]:
    """Yield what the kind itself finds; a line of its begins with the field that it is about."""
    for line in KINDS[kind].faults(settings, folder):
        field, colon, message = line.partition(": ")
        place: Place = ("steps", kind)
        if colon and " " not in field:
            yield _fault(lined, *place, *_parts(field), message=message)
        else:
            yield _fault(lined, *place, message=line)


def _parts(field: str) -> Place:
    """Return the place that a field such as ``allow[0].url`` means."""
    found = re.findall(r"\[(\d+)\]|([^.\[\]]+)", field.removeprefix("/"))
    return tuple(int(index) if index else name for index, name in found)


def _box_files(files: list[Any], lined: Lined, folder: Path) -> Iterator[Fault]:
    targets: dict[str, int] = {}
    for index, raw in enumerate(files):
        file = _part(FileSettings, raw)
        if file is None:
            continue
        place: Place = ("box", "files", index)
        if not os.path.lexists(folder / file.source):
            yield _fault(lined, *place, "from", message=_no_file(folder, file.source))
        first = targets.setdefault(os.path.normpath(file.to), index)
        if first != index:
            message = f"is {file.to!r} like box.files[{first}].to; name another place"
            yield _fault(lined, *place, "to", message=message)


def _builtin(data: dict[str, Any], lined: Lined) -> Iterator[Fault]:
    """Yield why the built-in agent would have no model to think with."""
    agent = _part(BuiltinAgentSettings, data.get("agent"))
    if agent is None:
        return
    raw, model = data.get("policy"), agent.builtin.model
    if raw is None:
        message = "needs a model; add `policy: {openai: …, models: […]}`, or `anthropic`"
        yield _fault(lined, "agent", "builtin", message=message)
    models = raw.get("models") if isinstance(raw, dict) else None
    if model is not None and isinstance(models, list) and models and model not in models:
        mend = did_you_mean(model, [str(name) for name in models], "`policy.models`")
        yield _fault(
            lined,
            "agent",
            "builtin",
            "model",
            message=f"is {model!r}, which the policy lacks; {mend}",
        )


def _cached_web(raw: Any, lined: Lined, folder: Path) -> Iterator[Fault]:
    try:
        path = _CACHED_WEB.validate_python(raw).path
    except ValidationError:
        return  # told already, or there is none
    place: Place = ("cached_web",) if isinstance(raw, str) else ("cached_web", "path")
    if not os.path.lexists(folder / path):
        yield _fault(lined, *place, message=_no_file(folder, path))
    elif not (folder / path).is_dir():
        with (folder / path).open("rb") as file:
            if file.read(4) != _ZIM_MAGIC:
                yield _fault(lined, *place, message=f"{path!r} is neither a folder nor a ZIM file")
            elif importlib.util.find_spec("libzim") is None:
                mend = "pip install 'monastery[zim]'"
                yield _fault(lined, *place, message=f"{path!r} is a ZIM file; to read it, {mend}")


def _auditors(auditors: list[Any], lined: Lined, folder: Path) -> Iterator[Fault]:
    names: dict[str, int] = {}
    for index, raw in enumerate(auditors):
        auditor = _part(CommandAuditorSettings, raw) or _part(PersonAuditorSettings, raw)
        if auditor is None:
            continue
        place: Place = ("audit", "auditors", index)
        first = names.setdefault(auditor.name, index)
        if first != index:
            message = f"is called {auditor.name!r} like auditors[{first}]; give it another name"
            yield _fault(lined, *place, message=message)
        if isinstance(auditor, CommandAuditorSettings):
            missing = _no_program(auditor.command[0], folder)
            if missing is not None:
                yield _fault(lined, *place, "command", message=missing)


def _rates(
    audit: AuditSettings, kinds: Mapping[str, StepSettings], lined: Lined
) -> Iterator[Fault]:
    """Yield a fault for each rate above 0 that nobody is there to honour."""
    if audit.auditors:
        return
    mend = "but there is no auditor; add one under `audit.auditors`, or write `never`"
    if any(settings.audit is None for settings in kinds.values()) and audit.rate > 0:
        yield _fault(lined, "audit", "rate", message=f"is {audit.rate:g}, {mend}")
    for kind, settings in kinds.items():
        if settings.audit:
            yield _fault(lined, "steps", kind, "audit", message=f"is {settings.audit:g}, {mend}")


def _no_program(program: str, folder: Path) -> str | None:
    """Return what is wrong with an auditor's program, or None when it can be started."""
    if "/" in program:
        path = folder / program
        if not path.is_file():
            return _no_file(folder, program)
        if not os.access(path, os.X_OK):
            return f"{program!r} cannot be executed; `chmod +x` it, or name its interpreter first"
        return None
    if shutil.which(program) is None:
        return f"no program {program!r} on PATH; install it, or write a path such as ./{program}"
    return None


def _no_file(folder: Path, source: str) -> str:
    return f"no file {source!r} in {str(folder)!r}; paths are relative to the project file"


def _fault(lined: Lined, *place: str | int, message: str) -> Fault:
    return Fault(place, lined.line(place), message)
