"""The recording of a terminal, as an asciicast of version 2: what was shown, typed, and how large.

https://docs.asciinema.org/manual/asciicast/v2/ : a header, then ``[seconds, kind, text]`` a line.
"""

import codecs
import hashlib
import json
import math
from collections.abc import Iterator
from datetime import datetime
from typing import BinaryIO, Literal, NamedTuple

from monastery.runtime.errors import BadInput

Kind = Literal["o", "i", "r"]


class Moment(NamedTuple):
    """Something in a recording: shown (``o``), typed (``i``), or another size (``r``)."""

    seconds: float
    kind: str
    text: str


class Cast:
    """Writes a recording, and hashes what it writes.

    Args:
        file: Where to; it is closed with the recording.
        rows: The terminal's size.
        columns: The terminal's size.
        began: When.
        title: What it is a recording of.

    Attributes:
        size_bytes: How long it is by now.
    """

    def __init__(
        self, file: BinaryIO, *, rows: int, columns: int, began: datetime, title: str
    ) -> None:
        self._file, self._hash = file, hashlib.sha256()
        self.size_bytes = 0
        new = codecs.getincrementaldecoder("utf-8")
        self._decoders = {"o": new("replace"), "i": new("replace")}
        header = {
            "version": 2,
            "width": columns,
            "height": rows,
            "timestamp": int(began.timestamp()),
            "title": title,
            "env": {"TERM": "xterm"},
        }
        self._put(header)

    def shown(self, seconds: float, data: bytes) -> None:
        """Record what the terminal showed."""
        self._text(seconds, "o", data)

    def typed(self, seconds: float, data: bytes) -> None:
        """Record what was typed."""
        self._text(seconds, "i", data)

    def resized(self, seconds: float, rows: int, columns: int) -> None:
        """Record another size."""
        self._put([round(seconds, 6), "r", f"{columns}x{rows}"])

    def close(self) -> str:
        """End it; return its SHA-256."""
        self._file.close()
        return self._hash.hexdigest()

    def _text(self, seconds: float, kind: Kind, data: bytes) -> None:
        text = self._decoders[kind].decode(data)  # half a character waits for the other half
        if text:
            self._put([round(seconds, 6), kind, text])

    def _put(self, value: object) -> None:
        line = json.dumps(value, ensure_ascii=True).encode() + b"\n"
        self._file.write(line)
        self._file.flush()
        self._hash.update(line)
        self.size_bytes += len(line)


def read(content: bytes) -> tuple[int, int, Iterator[Moment]]:
    """Return a recording's rows and columns, and what happened in it.

    A line that was cut off ends it: its program may have been killed.

    Raises:
        BadInput: It is no recording.
    """
    first, _, rest = content.partition(b"\n")
    try:
        header = json.loads(first)
        rows, columns = int(header["height"]), int(header["width"])
        if header["version"] != 2:
            raise ValueError
    except (ValueError, KeyError, TypeError) as exc:
        raise BadInput("this is no asciicast of version 2") from exc
    return rows, columns, _moments(rest)


def _moments(lines: bytes) -> Iterator[Moment]:
    for line in lines.splitlines():
        try:
            seconds, kind, text = json.loads(line)
            moment = Moment(float(seconds), str(kind), str(text))
        except (ValueError, TypeError):
            return
        if not math.isfinite(moment.seconds):
            return
        yield moment
