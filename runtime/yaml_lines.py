"""YAML as plain data that remembers its lines. Bounded: no tags, no expansion beyond a limit.

The file is composed to nodes, not constructed: no Python object can come out of it, and an alias is
counted each time it is used, so that a small file cannot become a large one.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

MAX_BYTES = 1 << 20
MAX_VALUES = 10_000
MAX_DEPTH = 32

Place = tuple[str | int, ...]
"""Where a value stands: the keys and list positions that lead to it."""

_CORE = "tag:yaml.org,2002:"
_FLOAT = re.compile(r"\.(inf|nan)$")


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong: where it stands, its line from 1, what is wrong and the mend."""

    place: Place
    line: int
    message: str


@dataclass(slots=True)
class Lined:
    """A document's data, the line on which each of its places stands, and what is wrong with it."""

    data: Any = None
    lines: dict[Place, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def line(self, place: Place) -> int:
        """Return the line of a place, or of the nearest one around it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read(source: bytes) -> Lined:
    """Return a document's data; with faults in it, whatever could be read beside them."""
    lined = Lined()
    if len(source) > MAX_BYTES:
        message = f"is {len(source)} bytes long, more than {MAX_BYTES}; keep data in other files"
        lined.faults.append(Fault((), 1, message))
        return lined
    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = source.count(b"\n", 0, exc.start) + 1
        message = f"byte {source[exc.start]:#04x} is not UTF-8; save the file as UTF-8"
        lined.faults.append(Fault((), line, message))
        return lined
    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except (MarkedYAMLError, ReaderError, RecursionError) as exc:
        lined.faults.append(_syntax(exc, text))
        return lined
    except ValueError as exc:  # ruamel's word for an impossible %YAML line or escape
        lined.faults.append(Fault((), 1, f"is not YAML: {exc}; mend the line"))
        return lined
    if node is None:
        lined.faults.append(Fault((), 1, "is empty; begin with `name:` and `goal:`"))
        return lined
    _Walk(lined).document(node)
    return lined


@dataclass(slots=True)
class _Walk:
    """Turns nodes into data; notes lines and faults on the way."""

    lined: Lined
    seen: int = 0

    def document(self, node: Node) -> None:
        self.lined.lines[()] = 1
        try:
            self.lined.data = self._value(node, ())
        except OverflowError as exc:
            self.lined.data = None
            self.lined.faults = [Fault((), _line(node), str(exc))]

    def _value(self, node: Node, place: Place) -> Any:
        self.seen += 1
        if self.seen > MAX_VALUES or len(place) > MAX_DEPTH:
            raise OverflowError(
                f"holds more than {MAX_VALUES} values or {MAX_DEPTH} levels once its aliases are"
                " written out; write it plainly"
            )
        tag = str(node.tag)
        if not tag.startswith(_CORE) or ":python/" in tag:
            self._fault(place, node, f"has the tag {tag!r}, which means nothing here; remove it")
            return None
        if isinstance(node, MappingNode):
            return dict(self._pairs(node, place))
        if isinstance(node, SequenceNode):
            return [self._item(each, (*place, i)) for i, each in enumerate(node.value)]
        assert isinstance(node, ScalarNode)
        return self._scalar(node, place)

    def _pairs(self, node: MappingNode, place: Place) -> Iterator[tuple[str, Any]]:
        before: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value)
            inside = (*place, name)
            if key.tag == f"{_CORE}merge":
                self._fault(inside, key, "merges another mapping; write its fields out")
            elif not isinstance(key, ScalarNode) or key.tag != f"{_CORE}str":
                shown = repr(name) if isinstance(key, ScalarNode) else "a list or mapping"
                self._fault(place, key, f"has {shown} as a key, which is not text; quote it")
            elif name in before:
                message = f"stands twice, first on line {before[name]}; remove one of them"
                self._fault(inside, key, message)
            else:
                before[name] = self.lined.lines[inside] = _line(key)
                yield name, self._value(value, inside)

    def _item(self, node: Node, place: Place) -> Any:
        self.lined.lines[place] = _line(node)
        return self._value(node, place)

    def _scalar(self, node: ScalarNode, place: Place) -> Any:
        text = str(node.value)
        try:
            match str(node.tag).removeprefix(_CORE):
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return int(text.replace("_", ""), 0 if re.match(r"[-+]?0[box]", text) else 10)
                case "float":
                    number = float(_FLOAT.sub(r"\1", text.replace("_", "").lower()))
                    if math.isfinite(number):
                        return number
                    self._fault(place, node, f"is {text}; write a finite number")
                    return None
        except ValueError:
            pass  # looks like a number and is none: text, as the reader sees it
        return text

    def _fault(self, place: Place, node: Node, message: str) -> None:
        self.lined.faults.append(Fault(place, _line(node), message))


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _syntax(exc: Exception, text: str) -> Fault:
    """Return the one fault that stops the reading, in plain words."""
    if isinstance(exc, RecursionError):
        return Fault((), 1, f"is nested deeper than {MAX_DEPTH} levels; write it plainly")
    if isinstance(exc, ReaderError):
        position = exc.position if isinstance(exc.position, int) else 0
        line = text.count("\n", 0, position) + 1
        code = exc.character if isinstance(exc.character, int) else ord(exc.character)
        return Fault((), line, f"holds the control character U+{code:04X}; remove it")
    assert isinstance(exc, MarkedYAMLError)
    problem = " ".join(str(exc.problem or exc.context or "it cannot be read").split())
    for sign, plain in _OPENED.items():
        if sign in problem:
            return Fault(
                (), _mark_line(exc.context_mark or exc.problem_mark), f"is not YAML: {plain}"
            )
    line = _mark_line(exc.problem_mark or exc.context_mark)
    for sign, plain in _PLAIN.items():
        if sign in problem:
            return Fault((), line, f"is not YAML: {plain}")
    return Fault((), line, f"is not YAML: {problem}; mend this line")


def _mark_line(mark: Any) -> int:
    return 1 if mark is None else int(mark.line) + 1


_OPENED = {
    "could not find expected ':'": "a line without `key: value`; add the colon, or quote it",
    "found unexpected end of stream": "a quote is opened and not closed; close it",
    "expected ',' or '": "a bracket is opened and not closed; close it",
}
"""What YAML's reader notices too late: the line is that of the beginning."""

_PLAIN = {
    "'\\t'": "a tab stands where only spaces may; indent with spaces",
    "mapping values are not allowed": "a `: ` where none may stand; quote the value or align it",
    "expected <block end>": "this line is indented unlike its neighbours; align them",
    "but found another document": "a second document begins; keep one, without `---`",
    "undefined alias": "an alias `*name` has no anchor `&name`; write the value out",
    "cannot start any token": "a character begins a value that may not; quote the value",
}
