"""Bytes for a reader: text as it is, anything else as a dump with its length and hash."""

import hashlib

_DUMPED_BYTES = 4096
_ROW_BYTES = 16


def show(content: bytes, indent: str = "    ") -> str:
    """Return bytes in lines a person can read, each indented.

    Text is shown whole and without its final line break. Other bytes are shown as hexadecimal and
    ASCII, the first 4096 of them, with a line that says how many are not shown.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        return "\n".join(indent + row for row in _dump(content))
    if not text:
        return indent + "(empty)"
    end = "" if text.endswith("\n") else f"\n{indent}(no line break at the end)"
    return "\n".join(indent + line for line in text.removesuffix("\n").split("\n")) + end


def sha256(content: bytes) -> str:
    """Return the hash of bytes, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _dump(content: bytes) -> list[str]:
    rows = []
    for start in range(0, min(len(content), _DUMPED_BYTES), _ROW_BYTES):
        row = content[start : start + _ROW_BYTES]
        ascii_ = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        rows.append(f"{start:08x}  {row.hex(' '):<47}  {ascii_}")
    if len(content) > _DUMPED_BYTES:
        rows.append(f"({len(content) - _DUMPED_BYTES} more bytes are not shown)")
    return rows
