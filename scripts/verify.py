#!/usr/bin/env python3
"""Checks an exported journal, with nothing but Python 3.11: it shares no line with the runtime.

    python3 verify.py JOURNAL [--checkpoints FILE] [--key KEY] [--other JOURNAL] [--json]
    python3 verify.py --proof PROOF [--key KEY]

JOURNAL is what `monastery export RUN --to journal` wrote. FILE holds checkpoints that were kept
elsewhere, KEY is the public key (a file, or the line itself) that was kept with them. What a
journal says of itself proves little: whoever forged the one can forge the other. Exit code 0 when
nothing fails, 1 when something does, 2 when there is nothing to check.

Signatures are verified here in plain Python (RFC 8032), so that this file needs nothing installed,
can be read in one sitting, and is a second opinion on the library that signed. That takes some
milliseconds a signature: the newest checkpoint's is always checked, and that of every one that does
not agree; the roots of all are compared with the journal.
"""

import argparse
import base64
import hashlib
import hmac
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

Verdict = tuple[bool | None, str, str]
"""Whether it holds, what is wrong in a word or two, and why."""
Key = tuple[str, bytes, bytes]
"""A public key: its name, its id [4 bytes], the key [32 bytes]."""
Point = tuple[int, int, int, int]
"""A point of the curve in extended coordinates."""
ZERO = "0" * 64


class Bad(Exception):
    """What cannot be read as what it should be."""


class Finding:
    """One verdict: it holds (True), fails (False), or nobody can tell (None)."""

    def __init__(self, name: str, verdict: bool | None, what: str, why: str) -> None:
        self.name, self.verdict, self.what, self.why = name, verdict, what, why


# Hashes and trees (RFC 6962)


def entry_hash(body: bytes) -> str:
    """Return the chained hash of an entry's bytes."""
    return hashlib.sha256(b"monastery.event.v1\n" + body).hexdigest()


def leaf(body: bytes) -> bytes:
    """Return the hash of an entry as a leaf."""
    return hashlib.sha256(b"\x00" + body).digest()


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of two nodes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def roots(leaves: list[bytes], sizes: set[int]) -> dict[int, bytes]:
    """Return the tree's root at each of these sizes that it reaches."""
    peaks: list[tuple[int, bytes]] = []
    found = {0: hashlib.sha256(b"").digest()}
    for count, one in enumerate(leaves, 1):
        size = 1
        while peaks and peaks[-1][0] == size:
            one, size = node(peaks.pop()[1], one), size * 2
        peaks.append((size, one))
        if count in sizes:
            root = peaks[-1][1]
            for _, peak in reversed(peaks[:-1]):
                root = node(peak, root)
            found[count] = root
    return found


def included(one: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    """Whether a path leads from a leaf to a root (RFC 9162, 2.1.3.2)."""
    at, last = index, size - 1
    for step in path:
        if last == 0:
            return False
        if at & 1 or at == last:
            one = node(step, one)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            one = node(one, step)
        at, last = at >> 1, last >> 1
    return 0 <= index < size and last == 0 and one == root


def extends(old: int, old_root: bytes, new: int, new_root: bytes, path: list[bytes]) -> bool:
    """Whether a path shows that one tree extends another (RFC 9162, 2.1.4.2)."""
    if old in (0, new):
        return not path and (old == 0 or old_root == new_root)
    steps = ([old_root] if old & (old - 1) == 0 else []) + list(path)
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    if not steps:
        return False
    before = after = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, after = node(step, before), node(step, after)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            after = node(after, step)
        at, last = at >> 1, last >> 1
    return last == 0 and (before, after) == (old_root, new_root)


# Ed25519 (RFC 8032, section 5.1), verification only

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_1 = pow(2, (P - 1) // 4, P)


def recover_x(y: int, sign: int) -> int | None:
    """Return the x of a point, None when there is none."""
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    if square == 0:
        return None if sign else 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_1 % P
    if (x * x - square) % P:
        return None
    return P - x if x & 1 != sign else x


def decompress(raw: bytes) -> Point | None:
    """Return the point in 32 bytes, None when it is none."""
    number = int.from_bytes(raw, "little")
    y = number & (1 << 255) - 1
    x = recover_x(y, number >> 255)
    return None if x is None else (x, y, 1, x * y % P)


def add(a: Point, b: Point) -> Point:
    """Return the sum of two points, in extended coordinates."""
    one = (a[1] - a[0]) * (b[1] - b[0]) % P
    two = (a[1] + a[0]) * (b[1] + b[0]) % P
    three, four = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = two - one, four - three, four + three, two + one
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def times(number: int, point: Point) -> Point:
    """Return a multiple of a point."""
    total = (0, 1, 1, 0)
    while number:
        if number & 1:
            total = add(total, point)
        point, number = add(point, point), number >> 1
    return total


BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = recover_x(BASE_Y, 0) or 0
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def ed25519_verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature [64 bytes] over a message is that of a public key [32 bytes]."""
    if len(public) != 32 or len(signature) != 64:
        return False
    a, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= Q:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    left, right = times(s, BASE), add(r, times(int.from_bytes(digest, "little") % Q, a))
    same_x = (left[0] * right[2] - right[0] * left[2]) % P == 0
    return same_x and (left[1] * right[2] - right[1] * left[2]) % P == 0


# Checkpoints and keys (c2sp.org/signed-note, c2sp.org/tlog-checkpoint)


class Note:
    """A signed tree head: origin, size, root, and the signatures under it."""

    def __init__(self, text: str) -> None:
        head, _, tail = text.partition("\n\n")
        lines = head.split("\n")
        if len(lines) != 3 or not lines[1].isdecimal():
            raise Bad(f"{text[:60]!r} is no checkpoint")
        self.origin, self.size = lines[0], int(lines[1])
        self.root, self.text, self.signatures = unbase64(lines[2]), head + "\n", []
        for line in tail.splitlines():
            dash, name, encoded = [*line.split(" "), "", ""][:3]
            raw = unbase64(encoded)
            if dash != "—" or len(raw) != 68:
                raise Bad(f"{line!r} is no signature")
            self.signatures.append((name, raw[:4], raw[4:]))
        if not self.signatures:
            raise Bad(f"the checkpoint of {self.size} events is not signed")

    def signed_by(self, key: Key) -> bool:
        """Whether the key signed this note."""
        name, id_, public = key
        mine = [raw for who, i, raw in self.signatures if (who, i) == (name, id_)]
        return any(ed25519_verify(public, self.text.encode(), raw) for raw in mine)


def parse_key(text: str) -> Key:
    """Return name, id and key of a public key's line."""
    name, id_, encoded = [*text.strip().split("+", 2), "", ""][:3]
    raw = unbase64(encoded)
    expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if len(raw) != 33 or raw[:1] != b"\x01" or id_ != expected.hex():
        raise Bad(f"{text.strip()!r} is no Ed25519 public key")
    return name, expected, raw[1:]


def unbase64(text: str) -> bytes:
    """Return the bytes in base64."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as exc:
        raise Bad(f"{text!r} is not base64") from exc


def read_checkpoints(path: str) -> tuple[list[Note], list[tuple[int, str]]]:
    """Return the notes of a file, and its unsigned checkpoints of format 1.

    What follows the last whole one was cut short by a crash, and is left out.
    """
    raw = read(path)
    text = raw[: raw.rfind(b"\n") + 1].decode(errors="replace")
    plain = [(int(n), h) for n, h in re.findall(r"^(\d+) ([0-9a-f]{64})$", text, re.MULTILINE)]
    found = re.findall(r"^.+\n\d+\n.+\n\n(?:— .+\n)+", text, re.MULTILINE)
    if raw.strip() and not found and not plain:
        raise Bad(f"{str(path)!r} holds no checkpoint")
    return [Note(one) for one in found], plain


# The journal


class Raw(float):
    """A number that knows how it was written, so that it can be hashed again."""

    text: str

    def __new__(cls, text: str) -> Self:
        """Keep the text beside the number."""
        self = super().__new__(cls, text)
        self.text = text
        return self


def canonical(value: Any) -> str:
    """Return a JSON value's canonical text: keys sorted, no spaces, numbers as they were."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, dict):
        pairs = (f"{canonical(key)}:{canonical(value[key])}" for key in sorted(value))
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


class Journal:
    """An exported journal, as it lies in its file."""

    def __init__(self, path: str) -> None:
        self.head: dict[str, Any] = {}
        self.end: dict[str, Any] | None = None
        self.consistency: dict[str, Any] | None = None
        self.entries: list[tuple[str, bytes, dict[str, Any]]] = []
        self.contents: dict[str, dict[str, Any]] = {}
        self.notes: list[Note] = []
        self.plain: list[tuple[int, str]] = []
        lines = read(path).decode(errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError) as exc:
                if number == len(lines):
                    break  # the file was cut in the middle of a line; the end is missing too
                raise Bad(f"{str(path)!r}, line {number}: not of a journal ({exc})") from exc
        if lines and not self.head:
            raise Bad(f"{str(path)!r} is no exported journal: write one with monastery export")

    def _take(self, value: dict[str, Any]) -> None:
        if value.get("format") == "monastery.journal.v1":
            self.head = value
        elif "entry" in value:
            body = value["body"].encode()
            try:
                said = json.loads(body, parse_float=Raw)
            except ValueError:
                said = {}  # its hash will be another
            self.entries.append((value["hash"], body, said))
        elif "content" in value:
            self.contents[value["content"]] = value
        elif "checkpoint" in value:
            self.notes.append(Note(value["checkpoint"]))
        elif "checkpoint_v1" in value:
            self.plain.append((value["checkpoint_v1"], value["hash"]))
        elif "consistency" in value:
            self.consistency = value["consistency"]
        elif "end" in value:
            self.end = value["end"]
        else:
            raise KeyError(f"an object with {', '.join(value)[:60]}")

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events, as far as they can be told."""
        return [body["event"] for _, _, body in self.entries]

    @property
    def leaves(self) -> list[bytes]:
        """The entries as leaves."""
        return [leaf(body) for _, body, _ in self.entries]


def check_chain(journal: Journal) -> Verdict:
    """Return what is wrong with the entries themselves: edit, reorder, insert, deletion."""
    run, size = journal.head.get("run"), journal.head.get("size", 0)
    if not journal.entries:
        return False, "deleted whole", "there is not one event"
    for place, (said, body, value) in enumerate(journal.entries):
        if entry_hash(body) != said:
            return False, "edited", f"event {place} is not the one that was hashed"
        if value.get("run") != run:
            return False, "inserted", f"event {value.get('seq')} is of run {value.get('run')!r}"
    numbers = [int(body.get("seq", -1)) for _, _, body in journal.entries]
    twice = sorted(number for number in set(numbers) if numbers.count(number) > 1)
    if twice:
        return False, "inserted", f"event {twice[0]} is there {numbers.count(twice[0])} times"
    gaps = sorted(set(range(max(numbers))) - set(numbers))
    if gaps:
        return False, "deleted inside", f"event {gaps[0]} is missing, and later ones are there"
    if numbers != sorted(numbers):
        first = next(n for n, number in enumerate(numbers) if n != number)
        return False, "reordered", f"event {numbers[first]} stands where event {first} was"
    before, version = ZERO, 1
    for said, _, value in journal.entries:
        if value["prev"] != before:
            at = value["seq"] - 1
            return False, "edited", f"event {at} is not the one that event {at + 1} follows"
        if not version <= value["v"] <= 2:
            return False, "edited", f"event {value['seq']} is of format {value['v']}"
        before, version = said, value["v"]
    if len(numbers) < size or journal.end is None:
        return (
            False,
            "tail deleted",
            f"the file speaks of {size} events and ends after {numbers[-1]}",
        )
    if len(numbers) > size:
        return False, "inserted", f"the file speaks of {size} events and holds {len(numbers)}"
    return True, "", f"{size} events, each bound to the one before"


def check_tree(journal: Journal) -> Verdict:
    """Return whether the tree over the entries has the root that the journal gives itself."""
    count = len(journal.entries)
    proof = journal.consistency
    found = roots(journal.leaves, {count, *([proof["from"]] if proof else [])})
    if unbase64(journal.head.get("root", "")) != found[count]:
        return False, "edited", "the tree over the events has another root"
    if proof:
        path = [bytes.fromhex(step) for step in proof["path"]]
        old = found.get(proof["from"], b"")
        if proof["to"] != count or not extends(proof["from"], old, count, found[count], path):
            return False, "edited", "the consistency proof does not hold"
    return True, "", f"the root over {count} events comes out again"


def check_checkpoints(
    journal: Journal,
    kept: list[Note],
    plain: list[tuple[int, str]],
    key: Key | None,
    trusted: bool,
) -> Verdict:
    """Return whether the journal is the one that was signed: rollback, fork, rewriting."""
    own, count = journal.notes, len(journal.entries)
    notes = sorted([*own, *kept], key=lambda note: note.size)
    if not notes and not plain and not journal.plain:
        return None, "", "no checkpoints were kept"
    found = roots(journal.leaves, {note.size for note in notes})
    for number, digest in [*journal.plain, *plain]:
        if number >= count:
            return False, "rolled back", f"event {number} was noted and the journal has {count}"
        if journal.entries[number][0] != digest:
            return False, "rewritten", f"event {number} is not the one that was noted"
    if key is None:
        return None, "", "no key: give the public key that was kept with --key"
    for note in notes:
        if note.origin != f"{key[0]}/{journal.head.get('run')}":
            return False, "not signed", f"a checkpoint is of {note.origin!r}"
        agrees = found.get(note.size) == note.root
        if (not agrees or note is notes[-1]) and not note.signed_by(key):
            return False, "not signed", f"the checkpoint of {note.size} events is not by {key[0]}"
        if agrees:
            continue
        if count == 0:
            return False, "deleted whole", f"{note.size} events were signed for, and none is there"
        if note.size > count:
            return False, "rolled back", f"{note.size} events were signed for, {count} are there"
        if any(found.get(one.size) == one.root and one.signed_by(key) for one in own[-1:]):
            why = f"{key[0]} signed two histories that differ within {note.size} events"
            return False, "forked", why
        return False, "rewritten", f"the first {note.size} events are not those that were signed"
    if not notes:
        return True, "", f"{len(plain) + len(journal.plain)} unsigned checkpoints agree"
    whose = "" if trusted else " (by the journal's own word: give --key)"
    told = f"{len(notes)} checkpoints agree, the last of {notes[-1].size} events"
    return True, "", f"{told}, signed by {key[0]}{whose}"


def check_fork(journal: Journal, other: Journal) -> Verdict:
    """Return whether one of two journals of a run extends the other."""
    mine, theirs = journal.leaves, other.leaves
    if journal.head.get("run") != other.head.get("run"):
        raise Bad("the other journal is of another run")
    pairs = zip(mine, theirs, strict=False)
    same = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(mine), len(theirs)))
    if same == min(len(mine), len(theirs)):
        return True, "", f"one extends the other, {same} events are in both"
    both = [note.size for note in [*journal.notes, *other.notes] if note.size <= same]
    since = f"; both extend the checkpoint of {max(both)}" if both else ""
    return False, "forked", f"the journals part at event {same}{since}"


def check_draws(journal: Journal) -> Verdict:
    """Return whether every draw comes out of the committed seed and the recorded proposal."""
    events = journal.events
    committed = next((e["commitment"] for e in events if e["type"] == "run.started"), None)
    revealed = next((e["seed"] for e in events if e["type"] == "seed.revealed"), None)
    if revealed is None:
        return None, "", "the seed is not revealed before the run's end"
    seed = bytes.fromhex(revealed)
    if hashlib.sha256(b"monastery.seed.v1\n" + seed).hexdigest() != committed:
        return False, "forged draw", "the seed is not the one that was committed to"
    proposals = {e["segment"]: e for e in events if e["type"] == "proposal.frozen"}
    drawn = [e for e in events if e["type"] == "audit.drawn"]
    for event in drawn:
        proposal = proposals.get(event["segment"])
        if proposal is None or proposal_digest(proposal) != event["digest"]:
            return False, "forged draw", f"{event['segment']} was drawn for another proposal"
        message = b"monastery.draw.v1\n" + bytes.fromhex(event["digest"])
        bits = hmac.new(seed, message, hashlib.sha256).digest()[:8]
        u = (int.from_bytes(bits, "big") >> 11) / 2**53
        said = (event["u"], event["probability"], event["audited"])
        if said != (u, proposal["probability"], u < proposal["probability"]):
            return False, "forged draw", f"{event['segment']}: the draw does not come out again"
    for event in (e for e in events if e["type"] == "alternatives.ordered"):
        name, digest = event["segment"], proposals[event["segment"]]["digest"]
        named = any(name in names for names in event["order"])
        if not named or not ordered(seed, digest, event["order"]):
            return False, "forged draw", f"{name}: the order does not come out again"
    undrawn = proposals.keys() - {event["segment"] for event in drawn}
    decided = {e["segment"] for e in events if e["type"] == "gate.decided"}
    if undrawn & decided:
        return False, "forged draw", f"{min(undrawn & decided)} was decided without a draw"
    return True, "", f"{len(drawn)} draws recomputed with the revealed seed"


def ordered(seed: bytes, digest: str, order: list[list[str]]) -> bool:
    """Return whether proposals stand as the seed orders them; those that are the same, together."""

    def place(name: str) -> bytes:
        message = b"monastery.order.v1\n" + bytes.fromhex(digest) + name.encode()
        return hmac.new(seed, message, hashlib.sha256).digest()

    rows = [list(map(place, names)) for names in order]
    return rows == sorted(map(sorted, rows))


def proposal_digest(proposal: dict[str, Any]) -> str:
    """Return the digest that a draw is made of."""

    def name(ref: dict[str, Any]) -> Any:
        return ref.get("ref") or ref["sha256"]

    core = {field: proposal[field] for field in ("segment", "kind", "probability")}
    core |= {field: name(proposal[field]) for field in ("payload", "rationale")}
    core["evidence"] = [[one["name"], name(one)] for one in proposal["evidence"]]
    return hashlib.sha256(b"monastery.proposal.v1\n" + canonical(core).encode()).hexdigest()


def check_contents(journal: Journal) -> Verdict:
    """Return whether the contents are those that the events name."""
    if not journal.head.get("contents"):
        return None, "", "exported without contents"
    named = {}
    for _, _, body in journal.entries:
        for ref in refs(body["event"]):
            named[ref] = body["v"]
    erased = 0
    for ref, version in named.items():
        value = journal.contents.get(ref)
        if value is None:
            return False, "content missing", f"content {ref} is neither there nor erased"
        if value.get("erased"):
            erased += 1
            continue
        content = value["text"].encode() if "text" in value else unbase64(value["base64"])
        salted = b"" if version == 1 else b"monastery.content.v2\n" + bytes.fromhex(value["salt"])
        if hashlib.sha256(salted + content).hexdigest() != ref:
            return False, "content changed", f"content {ref} is not the one that was named"
    gone = f", {erased} of them erased" if erased else ""
    return True, "", f"{len(named)} contents{gone}, each the one that was named"


def refs(value: Any) -> Iterator[str]:
    """Yield the refs of all contents that an event names."""
    if isinstance(value, dict):
        if "size_bytes" in value:
            yield from (value[field] for field in ("ref", "sha256") if field in value)
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from refs(inner)


def check_proof(value: dict[str, Any], key: Key | None) -> Verdict:
    """Return whether one event is in the journal that a checkpoint was signed for."""
    if value.get("format") != "monastery.proof.v1":
        raise Bad("not a proof of an event: write one with monastery verify RUN --prove SEQ")
    body, path = value["body"].encode(), [bytes.fromhex(step) for step in value["path"]]
    seq, size, root = value["seq"], value["size"], unbase64(value["root"])
    said = json.loads(body)
    if (said["seq"], said["run"]) != (seq, value["run"]):
        return False, "edited", f"the event is not event {seq} of {value['run']}"
    if not included(leaf(body), seq, size, path, root):
        return False, "edited", f"event {seq} is not in the tree of {size} events with this root"
    if value["checkpoint"] is None or key is None:
        return None, "", f"event {seq} is in a tree of {size} events for which nobody signed"
    note = Note(value["checkpoint"])
    if note.origin != f"{key[0]}/{value['run']}" or not note.signed_by(key):
        return False, "not signed", f"the checkpoint of {size} events is not by {key[0]}"
    if (note.size, note.root) != (size, root):
        return False, "edited", "the checkpoint is of another tree"
    return True, "", f"event {seq} is among the first {size} of {value['run']}, signed by {key[0]}"


# Putting it together


def read(path: str) -> bytes:
    """Return a file's bytes."""
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise Bad(f"cannot read {str(path)!r}: {exc.strerror}") from exc


def given_key(text: str | None, own: str | None) -> Key | None:
    """Return the key to check with: the one given, a file or a line, else the journal's own."""
    if text is not None:
        return parse_key(text if "+" in text else read(text).decode(errors="replace"))
    return parse_key(own) if own else None


def verify(
    journal: Journal,
    kept: list[Note],
    plain: list[tuple[int, str]],
    other: Journal | None,
    key_text: str | None,
) -> list[Finding]:
    """Return the findings on a journal."""
    if not journal.head and kept:  # nothing is left; what was signed for says whose it was
        journal.head = {"run": kept[0].origin.partition("/")[2], "size": 0}
    key = given_key(key_text, journal.head.get("key"))
    checks = [("chain", lambda: check_chain(journal))]
    if journal.entries:
        checks.append(("tree", lambda: check_tree(journal)))
    trusted = key_text is not None
    checks.append(("checkpoints", lambda: check_checkpoints(journal, kept, plain, key, trusted)))
    if other is not None:
        checks.append(("fork", lambda: check_fork(journal, other)))
    if journal.entries:
        checks.append(("draws", lambda: check_draws(journal)))
        checks.append(("contents", lambda: check_contents(journal)))
    return [attempt(name, check) for name, check in checks]


def attempt(name: str, check: Callable[[], Verdict]) -> Finding:
    """Return a check's finding; one that breaks has found nothing out."""
    try:
        return Finding(name, *check())
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as exc:
        return Finding(name, None, "", f"could not be checked: {type(exc).__name__}: {exc}")


def main() -> None:
    """Check what is asked for, print the findings, and exit with a code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("journal", nargs="?", help="what monastery export RUN --to journal wrote")
    parser.add_argument("--checkpoints", help="checkpoints of the run that were kept elsewhere")
    parser.add_argument("--key", help="the public key that was kept elsewhere: a file or the line")
    parser.add_argument("--other", help="another journal of the run: is one part of the other?")
    parser.add_argument("--proof", help="what monastery verify RUN --prove SEQ printed")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    if (given.journal is None) == (given.proof is None):
        parser.error("name a journal, or a proof with --proof")
    try:
        if given.proof is not None:
            value = json.loads(read(given.proof))
            key = given_key(given.key, value.get("key"))
            findings = [attempt("proof", lambda: check_proof(value, key))]
        else:
            journal = Journal(given.journal)
            kept, plain = read_checkpoints(given.checkpoints) if given.checkpoints else ([], [])
            other = Journal(given.other) if given.other else None
            findings = verify(journal, kept, plain, other, given.key)
    except (Bad, ValueError) as exc:
        print(f"verify: {exc}", file=sys.stderr)
        sys.exit(2)
    if given.json:
        told = [vars(one) for one in findings]
        print(json.dumps({"findings": told}))
    else:
        words = {True: "holds", False: "FAILS", None: "unknown"}
        for one in findings:
            what = f"{one.what}: " if one.what else ""
            print(f"{one.name:12} {words[one.verdict]:8} {what}{one.why}")
    sys.exit(1 if any(one.verdict is False for one in findings) else 0)


if __name__ == "__main__":
    main()
