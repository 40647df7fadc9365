"""The verdict on checkpoints: whether a journal is still the one that was signed."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from monastery.runtime.checkpoint import Kept
from monastery.runtime.keys import PublicKey
from monastery.runtime.merkle import Frontier, leaf_hash
from monastery.runtime.note import Note
from monastery.runtime.records import RunId
from monastery.runtime.rows import Entry


def against(
    files: Mapping[Path, Kept], run: RunId, entries: list[Entry], key: PublicKey | None
) -> tuple[bool | None, str]:
    """Return whether the journal holds all that was noted outside it, and why.

    Args:
        files: The checkpoints, by the file they were read from.
        run: Whose journal it is.
        entries: The journal.
        key: The home's, or the one that was kept elsewhere.
    """
    notes = [note for kept in files.values() for note in kept.notes]
    plain = {seq: head for kept in files.values() for seq, head in kept.plain.items()}
    if not notes and not plain:
        return None, "no checkpoints were kept"
    wrong = _plain_fault(plain, entries) or _note_fault(notes, run, entries, key)
    if wrong is not None:
        return False, wrong
    torn = "; the last one was cut short" if any(kept.torn for kept in files.values()) else ""
    if not notes:
        last = max(plain)
        return True, f"{len(plain)} checkpoints agree, the last at event {last}, unsigned{torn}"
    if key is None:
        return None, f"{len(notes)} checkpoints agree, but there is no key to check them with"
    last = max(note.size for note in notes)
    count = len(notes) + len(plain)
    return True, f"{count} checkpoints agree, the last of {last} events, signed by {key.name}{torn}"


def roots_at(sizes: Iterable[int], entries: Iterable[Entry]) -> dict[int, bytes]:
    """Return the roots of a journal's tree at those of the sizes that it reaches."""
    wanted, frontier = set(sizes), Frontier()
    roots = {0: frontier.root()}
    for entry in entries:
        frontier = frontier.append([leaf_hash(entry.body)])
        if frontier.size in wanted:
            roots[frontier.size] = frontier.root()
    return roots


def _plain_fault(plain: Mapping[int, str], entries: list[Entry]) -> str | None:
    held = {entry.seq: entry.hash.hex() for entry in entries}
    for seq, head in plain.items():
        if seq not in held:
            return f"event {seq} was noted outside and is gone: the tail is cut off"
        if held[seq] != head:
            return f"event {seq} is not the one that was noted outside"
    return None


def _note_fault(
    notes: list[Note], run: RunId, entries: list[Entry], key: PublicKey | None
) -> str | None:
    roots = roots_at((note.size for note in notes), entries)
    for note in sorted(notes, key=lambda one: one.size):
        if note.origin.partition("/")[2] != run:
            return f"a checkpoint is of {note.origin!r}, not of this run"
        if key is not None and not key.signed(note):
            return f"the checkpoint of {note.size} events is not signed by {key.name}"
        if note.size > len(entries):
            return (
                f"{note.size} events were signed for and {len(entries)} are there:"
                " the tail is cut off, or the journal was put back"
            )
        if roots[note.size] != note.root:
            return f"the first {note.size} events are not those that were signed for"
    return None
