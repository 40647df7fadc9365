"""Folders: an export of several files stands at its name whole, or not at all.

Only its owner can read it, as the home itself: it holds what people and agents wrote.
"""

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from monastery.runtime.errors import BadInput


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield a folder to write to; when all went well it is at `path`, else nothing is.

    Raises:
        BadInput: Something is there already, or it cannot be written.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise BadInput(f"{str(path)!r} is there already; name a new folder")
    try:
        partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as exc:
        raise BadInput(f"cannot write {str(path)!r}: {exc.strerror}; name another folder") from exc
    try:
        yield partial
        partial.replace(path)
    except OSError as exc:
        raise BadInput(f"cannot write {str(path)!r}: {exc.strerror}; name another folder") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_lines(path: Path, objects: Iterable[Any]) -> None:
    """Write a JSON object a line."""
    encode = msgspec.json.Encoder().encode
    with path.open("wb") as file:
        for one in objects:
            file.write(encode(one) + b"\n")


def read_lines(path: Path) -> Iterator[Any]:
    """Yield the objects of such a file."""
    decode = msgspec.json.Decoder().decode
    with path.open("rb") as file:
        for line in file:
            yield decode(line)
