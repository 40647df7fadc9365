"""The Merkle tree: the published roots, and proofs that hold for the truth and nothing else."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monastery.runtime.merkle import (
    EMPTY,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

# The test vectors of the reference implementation of certificate transparency.
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(str(number).encode()) for number in range(70)]


def _recursive(leaves: list[bytes]) -> bytes:
    """Return the root by the definition of RFC 6962, which the frontier never uses."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    cut = 1
    while cut * 2 < len(leaves):
        cut *= 2
    return node_hash(_recursive(leaves[:cut]), _recursive(leaves[cut:]))


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    """The published vectors come out."""
    assert root_of([leaf_hash(one) for one in INPUTS[:size]]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize("size", range(len(LEAVES)))
def test_a_frontier_tells_the_root_of_the_definition(size: int) -> None:
    """Appended one by one, in pieces or at once, and written down in between, it is the same."""
    frontier = Frontier()
    for leaf in LEAVES[:size]:
        frontier = Frontier.decode(frontier.size, frontier.encode()).append([leaf])
    assert frontier == Frontier().append(LEAVES[: size // 3]).append(LEAVES[size // 3 : size])
    assert frontier.root() == _recursive(LEAVES[:size])
    assert len(frontier.peaks) == size.bit_count()


def test_a_frontier_of_another_size_is_refused() -> None:
    """Bytes that cannot be the peaks of so many leaves are no frontier."""
    with pytest.raises(ValueError, match="no frontier of 3 leaves"):
        Frontier.decode(3, bytes(32))


def test_every_leaf_of_every_tree_is_proved_and_no_other() -> None:
    """A proof holds for its leaf, place, size and root, and for no other of them."""
    for size in range(1, 34):
        root = root_of(LEAVES[:size])
        for index in range(size):
            proof = inclusion_proof(LEAVES[:size], index)
            leaf = LEAVES[index]
            assert verify_inclusion(leaf, index, size, proof, root)
            assert not verify_inclusion(LEAVES[index + 1], index, size, proof, root)
            assert not verify_inclusion(leaf, index, size, proof, LEAVES[0][:31] + b"x")
            assert not verify_inclusion(leaf, index, size, [*proof, leaf], root)
            assert not verify_inclusion(leaf, index + size, size, proof, root)
            if proof:
                assert not verify_inclusion(leaf, index, size, proof[:-1], root)
                assert not verify_inclusion(leaf, index ^ 1, size, proof, root)


def test_every_extension_is_proved_and_no_other() -> None:
    """A tree extends each of its beginnings; another beginning of that size is refused."""
    for new in range(1, 34):
        root = root_of(LEAVES[:new])
        for old in range(new + 1):
            before = root_of(LEAVES[:old])
            proof = consistency_proof(LEAVES[:new], old)
            assert verify_consistency(old, before, new, root, proof)
            other = EMPTY if old else LEAVES[0]
            assert not verify_consistency(old, other, new, root, proof)
            assert not verify_consistency(old, before, new, LEAVES[-1], proof) or old == 0
            assert not verify_consistency(old, before, new, root, [*proof, LEAVES[0]])
            if proof:
                assert not verify_consistency(old, before, new, root, proof[:-1])
    assert not verify_consistency(3, LEAVES[0], 2, LEAVES[0], [])


@given(st.lists(st.binary(max_size=4), max_size=40), st.data())
@settings(max_examples=60, deadline=None)
def test_no_changed_beginning_is_consistent(bodies: list[bytes], data: st.DataObject) -> None:
    """Change any leaf of the beginning: no tree that holds it extends the old one."""
    leaves = [leaf_hash(body) for body in bodies]
    old = data.draw(st.integers(0, len(leaves)))
    if not old:
        return
    changed = list(leaves)
    at = data.draw(st.integers(0, old - 1))
    changed[at] = leaf_hash(b"another" + changed[at])
    proof = consistency_proof(changed, old)
    before, after = root_of(leaves[:old]), root_of(changed)
    assert not verify_consistency(old, before, len(leaves), after, proof)


def test_a_node_is_never_a_leaf() -> None:
    """The hash of two hashes as a leaf differs from that of the node over them."""
    for left, right in pairwise(LEAVES):
        assert leaf_hash(left + right) != node_hash(left, right)
