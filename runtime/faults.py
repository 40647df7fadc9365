"""What is wrong with a settings file, in plain words with the mend, from pydantic's findings."""

import difflib
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from monastery.runtime.project import REQUIREMENT, SENTENCE
from monastery.runtime.yaml_lines import Fault, Lined, Place

T = TypeVar("T", bound=BaseModel)

EXAMPLES: Mapping[Place, str] = {
    ("name",): "name: repair",
    ("goal",): "goal: Make the tests of the package pass.",
    ("agent",): "agent: {command: [python3, agent.py]}",
    ("agent", "command"): "command: [python3, agent.py]",
    ("steps",): "steps: {plan: {}}",
}
"""What to write for the fields that every project has."""

_TYPES = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping of `key: value` lines",
    "model_type": "a mapping of `key: value` lines",
    "model_attributes_type": "a mapping of `key: value` lines",
    "path_type": "a path",
}
_PATTERNS = {
    r"^[a-z0-9][a-z0-9-]{0,39}$": "lower-case letters, digits and hyphens, at most 40",
    r"^[a-z0-9][a-z0-9+.-]+$": "the name of a Debian package",
    REQUIREMENT: "a package as pip takes it, `name` or `name==1.0`; no options and no addresses",
    SENTENCE: "a sentence on one line, at most 300 characters",
    r"^https?://[^\s@?#]+$": "http:// or https://, a host and a path; no user and no query",
}


def check(model: type[BaseModel], lined: Lined, raw: Any, place: Place = ()) -> list[Fault]:
    """Return what is wrong with `raw`, the part of a document at `place`, as one of `model`."""
    try:
        validate(model, raw)
    except ValidationError as exc:
        return list(_translate(exc, model, lined, raw, place))
    return []


def validate(model: type[T], raw: Any) -> T:
    """Return `raw`, plain data as YAML or JSON has it, as one of `model`; strictly.

    Raises:
        ValidationError: It is none.
    """
    # By way of JSON, because strictness in Python would refuse a list for a tuple.
    return model.model_validate_json(_json(raw), strict=True)


def did_you_mean(wrong: str, known: Iterable[str], noun: str) -> str:
    """Return the mend for an unknown name: the one that looks like it, and all there are."""
    names = sorted(known)
    near = difflib.get_close_matches(wrong, names, n=1, cutoff=0.6)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"{hint}{noun}: {', '.join(names) or 'none'}"


def shown(value: Any) -> str:
    """Return a value as it may stand in a one-line message."""
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _json(raw: Any) -> bytes:
    return TypeAdapter(Any).dump_json(raw)


def _translate(
    exc: ValidationError, model: type[BaseModel], lined: Lined, raw: Any, place: Place
) -> Iterator[Fault]:
    errors = [dict(error) for error in exc.errors(include_url=False, include_context=True)]
    for error in _one_branch(errors, raw):
        inside: Place = error["loc"]
        at = (*place, *inside)
        if error["type"] == "extra_forbidden":
            message = _unknown(model, inside)
        else:
            message = _message(error, at)
        yield Fault(at, lined.line(at), message)


def _one_branch(errors: Sequence[dict[str, Any]], raw: Any) -> list[dict[str, Any]]:
    """Drop from the places the names of a union's branches, and all branches but the likeliest.

    pydantic tells the faults of every branch. The likeliest is the one that knows most of what was
    written: with the fewest unknown and missing fields.
    """
    kept: list[dict[str, Any]] = []
    unions: dict[Place, dict[Any, list[dict[str, Any]]]] = {}
    for error in errors:
        loc: Place = tuple(error["loc"])
        split = _branch_position(loc, raw)
        if split is None:
            kept.append({**error, "loc": loc})
        else:
            rest = {**error, "loc": loc[:split] + loc[split + 1 :]}
            unions.setdefault(loc[:split], {}).setdefault(loc[split], []).append(rest)
    for place, branches in unions.items():

        def misfit(branch: list[dict[str, Any]]) -> tuple[int, int]:
            wrong = [error["type"] for error in branch]
            return (wrong.count("missing") + wrong.count("extra_forbidden"), len(branch))

        own = _own_missing(branches.values(), place)
        if len(own) > 1 and all(own):
            names = " or ".join(f"`{name}`" for missing in own for name in sorted(missing))
            kept.append({"type": "needs_one", "loc": place, "names": names, "input": None})
        else:
            best = min(branches.values(), key=misfit)
            kept.extend(_one_branch(best, raw))
    return kept


def _own_missing(branches: Iterable[Sequence[Mapping[str, Any]]], place: Place) -> list[set[Any]]:
    """Return for each branch the missing fields of the place that are its own alone.

    Where each has one, nothing that was written says which branch is meant.
    """
    missing = [
        {e["loc"][-1] for e in branch if e["type"] == "missing" and e["loc"][:-1] == place}
        for branch in branches
    ]
    return [
        one - set[Any]().union(*(other for other in missing if other is not one)) for one in missing
    ]


def _branch_position(loc: Place, raw: Any) -> int | None:
    """Return where in a place pydantic put a union branch's name, or None."""
    for position, key in enumerate(loc):
        last = position == len(loc) - 1
        if isinstance(raw, dict) and isinstance(key, str):
            if key not in raw and not last:
                return position
            raw = raw.get(key)
        elif isinstance(raw, list) and isinstance(key, int) and key < len(raw):
            raw = raw[key]
        elif isinstance(key, str):
            return position
    return None


def _message(error: Mapping[str, Any], place: Place) -> str:
    """Return one finding in plain words: what is wrong; the mend."""
    kind, given, context = error["type"], error.get("input"), error.get("ctx") or {}
    if kind == "missing":
        example = EXAMPLES.get(place)
        return f"is missing; add `{example or f'{place[-1]}: …'}`"
    if kind == "needs_one":
        return f"needs {error['names']}; add one of them"
    if given is None and kind in _TYPES:
        return f"is empty; write {_TYPES[kind]}, or remove the line"
    if kind in _TYPES:
        if _TYPES[kind] == "a list" and isinstance(given, str):
            return f"is {shown(given)}; write a list: [{', '.join(given.split())}]"
        quote = ", perhaps in quotes" if kind == "string_type" and not _nested(given) else ""
        return f"is {_what(given)}; write {_TYPES[kind]}{quote}"
    if kind == "value_error":
        return str(context.get("error", error.get("msg")))
    if kind == "string_pattern_mismatch":
        allowed = _PATTERNS.get(
            str(context.get("pattern")), f"text that matches {context.get('pattern')}"
        )
        return f"is {shown(given)}; write {allowed}"
    if kind == "literal_error":
        return f"is {shown(given)}; write {context.get('expected')}"
    if kind in ("string_too_short", "too_short") and not given:
        return (
            "is empty; write at least one" if kind == "too_short" else "is empty; write some text"
        )
    bounds = {
        "greater_than": ("gt", "more than"),
        "greater_than_equal": ("ge", "at least"),
        "less_than": ("lt", "less than"),
        "less_than_equal": ("le", "at most"),
        "too_short": ("min_length", "at least this many:"),
        "too_long": ("max_length", "at most this many:"),
        "string_too_long": ("max_length", "at most this many characters:"),
        "string_too_short": ("min_length", "at least this many characters:"),
    }
    if kind in bounds:
        key, words = bounds[kind]
        return f"is {shown(given)}; write {words} {_number(context.get(key))}"
    return f"is {shown(given)}: {error.get('msg')}; see docs/project-file.md"


def _unknown(model: type[BaseModel], place: Place) -> str:
    fields = _fields(_at(model, place[:-1]))
    return f"is no field here; {did_you_mean(str(place[-1]), fields, 'fields')}"


def _fields(models: Iterable[type[BaseModel]]) -> set[str]:
    return {field.alias or name for model in models for name, field in model.model_fields.items()}


def _at(annotation: Any, place: Place) -> Iterator[type[BaseModel]]:
    """Yield the models that may stand at a place under a type."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _at(get_args(annotation)[0], place)
    elif origin in (Union, types.UnionType):
        for branch in get_args(annotation):
            yield from _at(branch, place)
    elif origin in (list, tuple) and place:
        yield from _at(get_args(annotation)[0], place[1:])
    elif origin is dict and place:
        yield from _at(get_args(annotation)[1], place[1:])
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not place:
            yield annotation
        for name, field in annotation.model_fields.items():
            if place and place[0] in (name, field.alias):
                yield from _at(field.annotation, place[1:])


def _what(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return shown(value)


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
