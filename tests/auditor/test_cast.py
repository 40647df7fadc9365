"""Recordings of terminals: what is written is what is read, and the hash is that of the file."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from monastery.auditor.dig import cast
from monastery.auditor.dig.cast import Cast, Moment
from monastery.runtime.errors import BadInput


@pytest.fixture
def recorded(tmp_path: Path) -> tuple[bytes, str]:
    """A recording, and the hash that its writer told."""
    path = tmp_path / "a.cast"
    began = datetime(2026, 11, 21, 9, 15, tzinfo=UTC)
    writer = Cast(path.open("wb"), rows=24, columns=80, began=began, title="bell")
    writer.shown(0.5, b"caf\xc3")
    writer.typed(0.6, b"ls\r")
    writer.shown(0.7, b"\xa9 \x1b[31m\xff")
    writer.resized(0.8, 30, 100)
    digest = writer.close()
    assert writer.size_bytes == path.stat().st_size
    return path.read_bytes(), digest


def test_it_is_an_asciicast_with_the_hash_that_is_told(recorded: tuple[bytes, str]) -> None:
    """Version 2: a header, then lines of time, kind and text; half a letter waits for the other."""
    content, digest = recorded
    assert hashlib.sha256(content).hexdigest() == digest
    header, *lines = [json.loads(line) for line in content.splitlines()]
    assert (header["version"], header["width"], header["height"]) == (2, 80, 24)
    assert header["timestamp"] == 1795252500
    assert lines == [
        [0.5, "o", "caf"],
        [0.6, "i", "ls\r"],
        [0.7, "o", "é \x1b[31m\ufffd"],
        [0.8, "r", "100x30"],
    ]


def test_what_was_written_is_read_up_to_where_it_was_cut_off(recorded: tuple[bytes, str]) -> None:
    """A recording whose program was killed plays as far as it goes."""
    content, _ = recorded
    rows, columns, moments = cast.read(content[:-3])
    assert (rows, columns) == (24, 80)
    assert list(moments)[:2] == [Moment(0.5, "o", "caf"), Moment(0.6, "i", "ls\r")]
    assert len(list(cast.read(content[:-3])[2])) == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1, "width": 1, "height": 1}'])
def test_what_is_no_recording_is_said_to_be_none(content: bytes) -> None:
    """In one line."""
    with pytest.raises(BadInput, match="no asciicast"):
        cast.read(content)
