"""File names as a git patch spells them: plain, or quoted as C quotes. Pure."""

import re
from itertools import product

from monastery.runtime.executors import paths

_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\abfnrtv]|\\[0-3][0-7][0-7])*)"')
_ESCAPE = re.compile(r'\\([0-3][0-7][0-7]|["\\abfnrtv])')
_ESCAPED = dict(zip('"\\abfnrtv', '"\\\a\b\f\n\r\t\v', strict=True))


def read(spelled: str, prefix: str) -> str:
    """Return the path that a patch spells, without its prefix.

    Args:
        spelled: The name as the patch has it.
        prefix: ``a/`` or ``b/``, or empty where git prints none.

    Raises:
        ValueError: Says in a few words why no step may name it so.
    """
    path = spelled
    if spelled.startswith('"'):
        match = _QUOTED.fullmatch(spelled)
        if match is None:
            raise ValueError(f"the name {spelled[:120]!r} is not quoted as git quotes")
        try:
            path = _unquote(match[1]).decode("utf-8")
        except UnicodeDecodeError as exc:
            raise ValueError(f"the name {spelled[:120]!r} is not UTF-8") from exc
    elif '"' in spelled:
        raise ValueError(f"the name {spelled[:120]!r} holds a quote and is not quoted")
    if not path.startswith(prefix):
        raise ValueError(f"the name {spelled[:120]!r} does not begin with {prefix!r}")
    path = path[len(prefix) :]
    fault = paths.fault_of(path)
    if fault is not None:
        raise ValueError(f"the path {path[:120]!r} {fault}")
    return path


def titles(old: str, new: str) -> set[str]:
    """Return every way in which git may print the title of a change from `old` to `new`."""
    pairs = product(_spellings(f"a/{old}"), _spellings(f"b/{new}"))
    return {" ".join(pair) for pair in pairs}


def _spellings(name: str) -> set[str]:
    """Return a name plain, and quoted with and without git's ``core.quotePath``."""
    quoted = name.replace('"', '\\"')
    octal = "".join(chr(byte) if byte < 0x80 else f"\\{byte:03o}" for byte in quoted.encode())
    return {f'"{quoted}"', f'"{octal}"'} | ({name} if '"' not in name else set())


def _unquote(body: str) -> bytes:
    """Return the bytes that a C-quoted name means."""
    parts: list[bytes] = []
    at = 0
    for match in _ESCAPE.finditer(body):
        code = match[1]
        parts.append(body[at : match.start()].encode())
        parts.append(bytes([int(code, 8)]) if len(code) == 3 else _ESCAPED[code].encode())
        at = match.end()
    parts.append(body[at:].encode())
    return b"".join(parts)
