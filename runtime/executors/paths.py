"""Which relative paths a payload may name: those that mean the same place to everyone.

A path is refused when it could leave its folder, when some file system would take it for another
name than the one a reader sees, or when it reaches into a repository's own ``.git``.
"""

import re
import unicodedata

MAX_PATH_BYTES = 1024
MAX_NAME_BYTES = 255

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of characters that no reader can see: controls, formats, separators."""


def fault_of(path: str) -> str | None:
    """Return what is wrong with a relative path, in a few words, or None."""
    if not path:
        return "is empty"
    if any(unicodedata.category(char) in _HIDDEN for char in path):
        return "holds a control or invisible character"
    if "\\" in path:
        return "holds a backslash"
    if path.startswith("/"):
        return "is absolute; write it relative to the folder"
    if len(path.encode()) > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes"
    return next(filter(None, map(_fault_of_name, path.split("/"))), None)


def folded(path: str) -> str:
    """Return the path as a file system sees it that ignores case and normalisation."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def clash(paths: list[str]) -> str | None:
    """Return how two of these paths are in each other's way, or None.

    Two paths clash when they differ only by case or normalisation, or when one is a folder that
    leads to the other.
    """
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(folded(path), path)
        if other is not path:
            return f"{other!r} and {path!r} are one name to some file systems"
    for path in paths:
        parts = folded(path).split("/")
        for length in range(1, len(parts)):
            file = seen.get("/".join(parts[:length]))
            if file is not None:
                return f"{file!r} would be both a file and the folder of {path!r}"
    return None


def _fault_of_name(name: str) -> str | None:
    if name in {"", ".", ".."}:
        return f"has {name!r} as a part"
    if name[-1] in ". ":
        return "has a part that ends with a dot or a space"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"has a part longer than {MAX_NAME_BYTES} bytes"
    # What Windows and macOS would open: no case, no stream after a colon, no trailing dots.
    plain = unicodedata.normalize("NFKC", name).casefold().split(":")[0].rstrip(" .")
    if plain == ".git" or re.fullmatch(r"git~\d+", plain):
        return f"reaches into a repository's own folder by {name!r}"
    return None
