"""Verifying planted questions: that they were chosen by lot, known before, and never rewarded.

It reads the log as it lies on disk. A verdict is true, false, or None where nobody can tell yet.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from monastery.runtime import checkpoint as checkpoints
from monastery.runtime.canonical import sha256
from monastery.runtime.draw import commitment as seed_commitment
from monastery.runtime.keys import HomeKey, PublicKey
from monastery.runtime.planted import LOG, Judged, commitment, drawn, entry_hash
from monastery.runtime.planted_book import PlantedRows
from monastery.runtime.records import RunId
from monastery.runtime.rows import GENESIS, Entry
from monastery.runtime.verify import Finding
from monastery.runtime.verify_checkpoints import against


@dataclass
class _Life:
    """What the log tells of one planted question: its entries, by number."""

    committed: dict[str, Any] | None = None
    answered: list[dict[str, Any]] = field(default_factory=list)
    revealed: dict[str, Any] | None = None


class _Wrong(Exception):
    """What a check found; its text is the reason."""


def verify_planted(book: PlantedRows, key: PublicKey | None = None) -> list[Finding]:
    """Return the verdicts on a home's planted questions.

    Args:
        book: Where they lie.
        key: The key that must have signed the log's checkpoints; None takes the home's.
    """
    entries = book.planted_log()
    try:
        told = _chain(entries)
    except _Wrong as exc:
        return [Finding("chain", False, str(exc))]
    files = checkpoints.kept(book.home, LOG)
    key = key or HomeKey.public_of(book.home)
    signed = against(files, RunId(LOG), entries, key)
    if signed[0] is None and not entries:
        signed = True, "nothing was logged"
    return [
        Finding("chain", True, f"{len(entries)} entries, each bound to the one before"),
        Finding("checkpoint", *signed),
        _finding("draws", _draws, book, told),
        _finding("commitments", _commitments, book, told),
        _finding("no reward", _no_reward, book, told),
    ]


def _finding(name: str, check: Any, book: PlantedRows, told: list[dict[str, Any]]) -> Finding:
    try:
        return Finding(name, *check(book, told))
    except _Wrong as exc:
        return Finding(name, False, str(exc))
    except (KeyError, TypeError, ValueError) as exc:
        return Finding(name, False, f"an entry lacks what belongs to it: {exc!r}")


def _chain(entries: list[Entry]) -> list[dict[str, Any]]:
    head, told = GENESIS, []
    for number, entry in enumerate(entries):
        if entry.seq != number:
            raise _Wrong(f"entry {number} is missing: entry {entry.seq} follows")
        if entry_hash(entry.body) != entry.hash:
            raise _Wrong(f"entry {number} was edited: its hash is another")
        try:
            body = msgspec.json.decode(entry.body)
            place = body["number"], body["prev"]
        except (ValueError, KeyError, TypeError) as exc:
            raise _Wrong(f"entry {number} cannot be read: {exc}") from exc
        if place != (number, head.hex()):
            raise _Wrong(f"entry {number} does not follow the one before it")
        head = entry.hash
        told.append(body)
    return told


def _draws(book: PlantedRows, told: list[dict[str, Any]]) -> tuple[bool | None, str]:
    """Every draw comes out again, and nothing was planted without one."""
    committed: str | None = None
    pending: list[dict[str, Any]] = []
    planted: dict[tuple[str, str], bool] = {}
    count = 0
    for entry in told:
        number = entry["number"]
        match entry["type"]:
            case "seed.committed":
                if pending:
                    raise _Wrong(f"entry {number}: the seed before it was never revealed")
                committed = entry["commitment"]
            case "drawn":
                pair = entry["item"], entry["person"]
                if committed is None or pair in planted:
                    raise _Wrong(f"entry {number}: drawn without a seed, or twice for one person")
                if entry["planted"] and not entry["u"] < entry["probability"]:
                    raise _Wrong(f"entry {number}: planted although the draw did not fall on it")
                planted[pair] = entry["planted"]
                pending.append(entry)
            case "committed":
                if not planted.get((entry["stands_for"], entry["person"])):
                    raise _Wrong(f"entry {number}: planted without a draw")
            case "seed.revealed":
                seed = bytes.fromhex(entry["seed"])
                _recompute(seed, committed, pending, number)
                count += len(pending)
                pending, committed = [], None
            case _:
                pass
    if pending:
        seed_kept = book.planting_seed()
        if seed_kept is None:
            raise _Wrong(f"{len(pending)} draws whose seed is neither kept nor revealed")
        _recompute(seed_kept, committed, pending, len(told))
        return True, f"{count + len(pending)} draws recomputed; the last seed is not revealed yet"
    return True, f"{count} draws recomputed with the revealed seeds"


def _recompute(
    seed: bytes, committed: str | None, pending: list[dict[str, Any]], number: int
) -> None:
    if committed is None or seed_commitment(seed) != committed:
        raise _Wrong(f"entry {number}: the seed is not the one that was committed to")
    for entry in pending:
        lot = drawn(seed, entry["item"], entry["person"], entry["probability"])
        if lot.u != entry["u"]:
            raise _Wrong(f"entry {entry['number']}: the draw does not come out again")


def _commitments(book: PlantedRows, told: list[dict[str, Any]]) -> tuple[bool | None, str]:
    """Each was committed to, then judged, then revealed; and what is kept is what was meant."""
    lives: dict[str, _Life] = {}
    for entry in told:
        life = lives.setdefault(entry.get("item", ""), _Life())
        number = entry["number"]
        match entry["type"]:
            case "committed":
                if life.committed is not None or life.answered or life.revealed is not None:
                    raise _Wrong(f"entry {number}: {entry['item']} is committed to too late")
                life.committed = entry
            case "answered":
                if life.committed is None or life.revealed is not None:
                    raise _Wrong(f"entry {number}: {entry['item']} was judged out of order")
                life.answered.append(entry)
            case "revealed":
                if life.committed is None or life.revealed is not None:
                    raise _Wrong(f"entry {number}: {entry['item']} was revealed out of order")
                life.revealed = entry
            case "seed.revealed":
                for name, one in lives.items():
                    if one.answered and one.revealed is None:
                        raise _Wrong(f"{name} was judged, and not revealed when the desk closed")
            case _:
                pass
    lives = {name: life for name, life in lives.items() if life.committed is not None}
    rows = {str(row.item): row for row in book.judged()}
    for item in rows:
        if item not in lives:
            raise _Wrong(f"{item} was planted, and the log has no commitment to it")
    waiting = 0
    for item, life in lives.items():
        if item not in rows:
            raise _Wrong(f"{item}: what was committed to is not kept any more")
        _check(book, rows[item], life)
        waiting += life.revealed is None
    if waiting:
        return None, f"{len(lives) - waiting} revealed as committed to; {waiting} not revealed yet"
    return True, f"{len(lives)} planted, each revealed as it was committed to"


def _check(book: PlantedRows, row: Judged, life: _Life) -> None:
    item, kept = row.item, book.sealed_of(row.item)
    assert life.committed is not None, "those without were left out"
    assert kept is not None, "a row has what was committed to"
    sealed, salt = kept
    if commitment(salt, sealed) != life.committed["commitment"]:
        raise _Wrong(f"{item}: it is not what was committed to before it was shown")
    known = msgspec.json.decode(sealed)
    if (known["good"], known["why"]) != (row.good, row.why):
        raise _Wrong(f"{item}: it was said to be another than was committed to")
    said = life.answered[-1] if life.answered else None
    if (said is None) != (row.by is None):
        raise _Wrong(f"{item}: the log and the rows do not agree on whether it was judged")
    if said is not None and (said["by"], said["decision"] == "approve") != (row.by, row.passed):
        raise _Wrong(f"{item}: the log tells another judgement than the rows")
    shown = life.revealed
    if shown is None:
        if row.final:
            raise _Wrong(f"{item}: it counts as revealed, and the log does not reveal it")
        return
    if (shown["salt"], shown["sealed_sha256"], shown["good"]) != (
        salt.hex(),
        sha256(sealed),
        known["good"],
    ):
        raise _Wrong(f"{item}: what was revealed is not what was committed to")


def _no_reward(book: PlantedRows, told: list[dict[str, Any]]) -> tuple[bool, str]:
    """No run's journal names one, nor was one answered to a run."""
    count = 0
    for entry in told:
        if entry["type"] == "committed":
            run = entry["item"].partition(".")[0]
            seen = book.planted_seen(run, entry["item"])
            if seen is not None:
                where = "its answers" if seen < 0 else f"event {seen}"
                raise _Wrong(f"run {run}: {where} names the planted {entry['item']}")
            count += 1
    return True, f"none of {count} is named by a run's journal or answers"
