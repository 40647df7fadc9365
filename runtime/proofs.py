"""A journal and its proofs as JSON, for whoever does not trust this program.

`scripts/verify.py` reads both formats and shares no line with the runtime; docs/record.md has them.
"""

import base64
from collections.abc import Iterator
from typing import Any

import msgspec

from monastery.runtime import checkpoint as checkpoints
from monastery.runtime.errors import BadInput, Erased
from monastery.runtime.keys import HomeKey
from monastery.runtime.merkle import consistency_proof, inclusion_proof, leaf_hash, root_of
from monastery.runtime.note import Note
from monastery.runtime.records import RunId
from monastery.runtime.rows import Entry
from monastery.runtime.store import Store

JOURNAL_FORMAT = "monastery.journal.v1"
PROOF_FORMAT = "monastery.proof.v1"


def journal_lines(store: Store, run: RunId, *, contents: bool = True) -> Iterator[dict[str, Any]]:
    """Yield a run's journal as JSON objects: head, entries, contents, checkpoints, a proof, end.

    Args:
        store: Where it lies.
        run: Which.
        contents: Whether to give away what the events name. Without them everything can be checked
            but that they are the ones that were named.

    Raises:
        StoreError: The journal cannot be read, or a content was edited.
    """
    # Before the run: a journal that grows meanwhile must not seem older than its checkpoints.
    kept = list(checkpoints.kept(store.home, run).values())
    row, public = store.run(run), HomeKey.public_of(store.home)
    yield {
        "format": JOURNAL_FORMAT,
        "run": row.run,
        "project": row.project,
        "status": row.status,
        "size": row.seq,
        "root": _base64(row.frontier.root()),
        "key": None if public is None else public.text,
        "contents": contents,
    }
    named: dict[str, None] = {}
    leaves = []
    entries = 0
    for entry in store.entries(row.run):
        if entry.seq >= row.seq and store.held(row):
            break
        leaves.append(leaf_hash(entry.body))
        entries += 1
        yield {"entry": entry.seq, "hash": entry.hash.hex(), "body": entry.body.decode()}
        named |= dict.fromkeys(content_names(entry))
    for ref in named if contents else ():
        yield _content(store, ref)
    notes = _distinct([note for one in kept for note in one.notes])
    for one in kept:
        for seq, head in one.plain.items():
            yield {"checkpoint_v1": seq, "hash": head}
    for note in notes:
        yield {"checkpoint": _whole(note)}
    newest = max((note.size for note in notes if note.size <= len(leaves)), default=None)
    if newest is not None:
        path = [step.hex() for step in consistency_proof(leaves, newest)]
        yield {"consistency": {"from": newest, "to": len(leaves), "path": path}}
    yield {"end": {"entries": entries, "checkpoints": len(notes)}}


def prove(store: Store, run: RunId, seq: int) -> dict[str, Any]:
    """Return the proof that one event is in a run's journal, against its newest checkpoint.

    Raises:
        BadInput: There is no such event.
    """
    kept = list(checkpoints.kept(store.home, run).values())
    entries = list(store.entries(run))
    if not 0 <= seq < len(entries):
        raise BadInput(f"run {run!r} has no event {seq}; it has 0 to {len(entries) - 1}")
    leaves = [leaf_hash(entry.body) for entry in entries]
    notes = [note for one in kept for note in one.notes if seq < note.size <= len(leaves)]
    note = max(notes, key=lambda one: one.size, default=None)
    size = len(leaves) if note is None else note.size
    public = HomeKey.public_of(store.home)
    return {
        "format": PROOF_FORMAT,
        "run": run,
        "seq": seq,
        "body": entries[seq].body.decode(),
        "size": size,
        "root": _base64(root_of(leaves[:size])),
        "path": [step.hex() for step in inclusion_proof(leaves[:size], seq)],
        "checkpoint": None if note is None else _whole(note),
        "key": None if public is None else public.text,
    }


def content_names(entry: Entry) -> list[str]:
    """Return the refs of all contents that an entry names, of format 1 or 2."""
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if "size_bytes" in value:
                found.extend(value[field] for field in ("ref", "sha256") if field in value)
            for inner in value.values():
                look(inner)
        elif isinstance(value, list):
            for inner in value:
                look(inner)

    look(msgspec.json.decode(entry.body)["event"])
    return found


def _content(store: Store, ref: str) -> dict[str, Any]:
    try:
        salt, content = store.sealed(ref)
    except Erased:
        return {"content": ref, "erased": True}
    told: dict[str, Any] = {"content": ref, "salt": None if salt is None else salt.hex()}
    try:
        return told | {"text": content.decode()}
    except UnicodeDecodeError:
        return told | {"base64": _base64(content)}


def _whole(note: Note) -> str:
    lines = [f"— {one.name} {_base64(one.key_id + one.raw)}\n" for one in note.signatures]
    return f"{note.text}\n{''.join(lines)}"


def _distinct(notes: list[Note]) -> list[Note]:
    """Return notes without those that a second place holds too, the smallest tree first."""
    return sorted(dict.fromkeys(notes), key=lambda note: note.size)


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
