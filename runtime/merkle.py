"""The Merkle tree over a run's journal (RFC 6962, section 2.1). Pure.

One hash, the tree's *root*, stands for the whole journal; short proofs show that one event is in
it, and that a later journal only added to an earlier one. Leaves are the entries' bytes. A leaf's
hash and a node's begin with different bytes, so that neither can be passed off as the other.

The runtime appends with a `Frontier`, which keeps one hash for each perfect subtree, at most 64.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

HASH_BYTES = 32
EMPTY = hashlib.sha256(b"").digest()
"""The root of a journal without entries."""


def leaf_hash(body: bytes) -> bytes:
    """Return the hash of a leaf, SHA-256(0x00 || bytes)."""
    return hashlib.sha256(b"\x00" + body).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node, SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """What must be known of a tree to append to it and to tell its root.

    Attributes:
        size: How many leaves it has.
        peaks: The roots of its perfect subtrees, the largest first: one for each 1 in `size`.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def append(self, leaves: Sequence[bytes]) -> "Frontier":
        """Return the frontier with these leaf hashes at its end; O(1) a leaf on average."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            joined, full = leaf, size
            while full & 1:
                joined, full = node_hash(peaks.pop(), joined), full >> 1
            peaks.append(joined)
            size += 1
        return Frontier(size, tuple(peaks))

    def root(self) -> bytes:
        """Return the tree's root."""
        if not self.peaks:
            return EMPTY
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def encode(self) -> bytes:
        """Return the peaks one after another; with the size they are the frontier again."""
        return b"".join(self.peaks)

    @classmethod
    def decode(cls, size: int, raw: bytes) -> Self:
        """Return the frontier of a tree of this size.

        Raises:
            ValueError: It is not one of a tree of this size.
        """
        if len(raw) != HASH_BYTES * size.bit_count():
            raise ValueError(f"{len(raw)} bytes are no frontier of {size} leaves")
        peaks = (raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES))
        return cls(size, tuple(peaks))


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    return Frontier().append(leaves).root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """Return the proof that leaf `index` is in the tree over these leaf hashes, bottom up.

    Raises:
        IndexError: There is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise IndexError(f"no leaf {index} among {len(leaves)}")
    if len(leaves) == 1:
        return []
    cut = _split(len(leaves))
    if index < cut:
        return [*inclusion_proof(leaves[:cut], index), root_of(leaves[cut:])]
    return [*inclusion_proof(leaves[cut:], index - cut), root_of(leaves[:cut])]


def consistency_proof(leaves: Sequence[bytes], old: int) -> list[bytes]:
    """Return the proof that the tree over these leaf hashes extends the one over the first `old`.

    Raises:
        IndexError: `old` is not 0 to the number of leaves.
    """
    if not 0 <= old <= len(leaves):
        raise IndexError(f"no tree of {old} leaves among {len(leaves)}")
    return [] if old in (0, len(leaves)) else _subproof(leaves, old, whole=True)


def _subproof(leaves: Sequence[bytes], old: int, *, whole: bool) -> list[bytes]:
    """Return SUBPROOF of RFC 6962; `whole` while the old root is what the reader has."""
    if old == len(leaves):
        return [] if whole else [root_of(leaves)]
    cut = _split(len(leaves))
    if old <= cut:
        return [*_subproof(leaves[:cut], old, whole=whole), root_of(leaves[cut:])]
    return [*_subproof(leaves[cut:], old - cut, whole=False), root_of(leaves[:cut])]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> bool:
    """Whether the proof shows that the tree of `size` leaves has this leaf hash at `index`.

    The algorithm of RFC 9162, section 2.1.3.2.
    """
    if not 0 <= index < size:
        return False
    at, last, reached = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            reached = node_hash(step, reached)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            reached = node_hash(reached, step)
        at, last = at >> 1, last >> 1
    return last == 0 and reached == root


def verify_consistency(
    old: int, old_root: bytes, new: int, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows that the tree of `new` leaves extends the one of `old` leaves.

    The algorithm of RFC 9162, section 2.1.4.2.
    """
    if not 0 <= old <= new:
        return False
    if old in (0, new):
        return not proof and (old_root == new_root if old == new else old_root == EMPTY)
    path = list(proof)
    if old & (old - 1) == 0:  # the old tree is perfect: its root is the first node
        path.insert(0, old_root)
    if not path:
        return False
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, after = node_hash(step, before), node_hash(step, after)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, step)
        at, last = at >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root


def _split(size: int) -> int:
    """Return the largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
