"""The standalone verifier: each way to falsify an exported journal has a verdict of its own."""

import ast
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from monastery.runtime.canonical import canonical
from monastery.runtime.checkpoint import path_of
from monastery.runtime.draw import order, proposal_digest
from monastery.runtime.journal import entry_hash
from monastery.runtime.keys import HomeKey
from monastery.runtime.merkle import leaf_hash, root_of
from monastery.runtime.proofs import journal_lines, prove
from monastery.runtime.records import RunId, Sha256, Vote
from monastery.runtime.rows import GENESIS
from monastery.runtime.store import Store
from tests.runtime.world import SetAuditor, Small, approve, notes

SCRIPT = Path(__file__).parents[1] / "scripts" / "verify.py"
CODE: dict[str, Any] = {"__name__": "verify"}
exec(compile(SCRIPT.read_text(), SCRIPT, "exec"), CODE)

Lines = list[dict[str, Any]]
pytestmark = pytest.mark.virtual


class World:
    """A recorded run, exported, with its checkpoints and its key kept elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.kept = folder / "kept-checkpoints"
        self.key = folder / "key.pub"
        self.run = RunId("")

    async def live(self, **more: Any) -> "World":
        """Live the run and keep what is to be kept."""
        modify = Vote("set", "modify", 0.5, modified=b"\xff\x00 not text")
        texts = [f"note {number}" for number in range(8)]
        small = Small(self.home, notes(*texts), [SetAuditor(approve(0.75), modify)], rate=0.5)
        row = small.new()
        await small.live(row)
        self.run = row.run
        self.kept.write_bytes(path_of(self.home, self.run).read_bytes())
        self.key.write_text(HomeKey.of(self.home).public.text + "\n")
        return self

    def export(self) -> Lines:
        """Return the exported journal."""
        with Store.open(self.home) as store:
            return list(journal_lines(store, self.run))

    def verdicts(
        self, lines: Lines, *args: str | Path, elsewhere: bool = True
    ) -> dict[str, tuple[bool | None, str]]:
        """Check a journal with the script, as a process of a bare Python."""
        path = self.folder / "journal.jsonl"
        path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines))
        kept = ["--checkpoints", self.kept, "--key", self.key] if elsewhere else []
        return check(path, *kept, *args)


def check(*args: str | Path) -> dict[str, tuple[bool | None, str]]:
    """Run the script in isolated mode: nothing but the standard library can be imported."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), *map(str, args), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    findings = json.loads(done.stdout)["findings"]
    assert done.returncode == int(any(one["verdict"] is False for one in findings))
    return {one["name"]: (one["verdict"], one["what"]) for one in findings}


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A place for a run."""
    return World(tmp_path)


def _entries(lines: Lines) -> list[int]:
    return [at for at, line in enumerate(lines) if "entry" in line]


def _body(line: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(line["body"])
    return body


def _rehash(lines: Lines, *, head: bool = True) -> None:
    """Make numbers, chain, root and counts fit again, as a forger would."""
    before, leaves = GENESIS.hex(), []
    for number, at in enumerate(_entries(lines)):
        raw = canonical(_body(lines[at]) | {"seq": number, "prev": before})
        before = entry_hash(raw).hex()
        leaves.append(leaf_hash(raw))
        lines[at] = {"entry": number, "hash": before, "body": raw.decode()}
    if head:
        import base64

        lines[0] |= {"size": len(leaves), "root": base64.b64encode(root_of(leaves)).decode()}
        lines[:] = [line for line in lines if "consistency" not in line]
        lines[-1] = {"end": {"entries": len(leaves), "checkpoints": 0}}


async def test_it_imports_nothing_but_the_standard_library() -> None:
    """No line of the runtime, no library: a second opinion that runs anywhere."""
    for one in ast.walk(ast.parse(SCRIPT.read_text())):
        if isinstance(one, ast.ImportFrom):
            assert one.module is not None
            assert one.module.split(".")[0] in sys.stdlib_module_names
        elif isinstance(one, ast.Import):
            assert {name.name for name in one.names} <= sys.stdlib_module_names


async def test_an_honest_journal_holds_throughout(world: World) -> None:
    """With and without what was kept elsewhere; the draws come out of the seed."""
    lines = (await world.live()).export()
    for elsewhere in (True, False):
        found = world.verdicts(lines, elsewhere=elsewhere)
        assert set(found) == {"chain", "tree", "checkpoints", "draws", "contents"}
        assert set(found.values()) == {(True, "")}


def _edit(lines: Lines) -> None:
    at = next(at for at in _entries(lines) if "reward.issued" in lines[at]["body"])
    lines[at]["body"] = lines[at]["body"].replace("0.75", "0.95")


def _edit_and_hash(lines: Lines) -> None:
    _edit(lines)
    at = next(at for at in _entries(lines) if "reward.issued" in lines[at]["body"])
    lines[at]["hash"] = entry_hash(lines[at]["body"].encode()).hex()


def _break(lines: Lines) -> None:
    lines[5]["body"] = lines[5]["body"][:-1]


def _reorder(lines: Lines) -> None:
    lines[7], lines[8] = lines[8], lines[7]


def _insert(lines: Lines) -> None:
    lines.insert(9, dict(lines[8]))


def _insert_foreign(lines: Lines) -> None:
    body = _body(lines[8]) | {"run": "another"}
    raw = canonical(body)
    lines.insert(9, {"entry": 7, "hash": entry_hash(raw).hex(), "body": raw.decode()})


def _delete_inside(lines: Lines) -> None:
    del lines[9]


def _cut_tail(lines: Lines) -> None:
    for at in reversed(_entries(lines)[-3:]):
        del lines[at]


def _cut_file(lines: Lines) -> None:
    del lines[20:]


def _delete_all(lines: Lines) -> None:
    lines[:] = [line for line in lines if "entry" not in line]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_edit, "edited"),
        (_edit_and_hash, "edited"),
        (_break, "edited"),
        (_reorder, "reordered"),
        (_insert, "inserted"),
        (_insert_foreign, "inserted"),
        (_delete_inside, "deleted inside"),
        (_cut_tail, "tail deleted"),
        (_cut_file, "tail deleted"),
        (_delete_all, "deleted whole"),
    ],
)
async def test_each_change_of_the_events_has_its_verdict(
    world: World, change: Callable[[Lines], None], what: str
) -> None:
    """Found in the journal alone, without anything kept elsewhere."""
    lines = (await world.live()).export()
    change(lines)
    assert world.verdicts(lines, elsewhere=False)["chain"] == (False, what)


async def test_an_empty_file_is_a_journal_deleted_whole(world: World) -> None:
    """What was signed for tells that there was a journal."""
    await world.live()
    found = world.verdicts([])
    assert found["chain"] == (False, "deleted whole")
    assert found["checkpoints"] == (False, "deleted whole")


async def test_a_rollback_is_found_by_a_checkpoint_kept_elsewhere(world: World) -> None:
    """An earlier journal, whole in itself and with its own checkpoints, is older than the copy."""
    lines = (await world.live()).export()
    for at in reversed(_entries(lines)[-5:]):
        del lines[at]
    size = len(_entries(lines))
    lines[:] = [
        line
        for line in lines
        if "checkpoint" not in line or int(line["checkpoint"].split("\n")[1]) <= size
    ]
    named = {ref for at in _entries(lines) for ref in CODE["refs"](_body(lines[at])["event"])}
    lines[:] = [line for line in lines if "content" not in line or line["content"] in named]
    _rehash(lines)
    alone = world.verdicts(lines, elsewhere=False)
    assert alone["chain"] == (True, "")
    assert alone["checkpoints"] == (True, "")
    assert world.verdicts(lines)["checkpoints"] == (False, "rolled back")


@pytest.mark.parametrize("change", [_edit, _reorder, _insert, _delete_inside])
async def test_a_journal_written_anew_is_not_the_one_that_was_signed(
    world: World, change: Callable[[Lines], None]
) -> None:
    """However well it is hashed again, it disagrees with the signed roots."""
    lines = (await world.live()).export()
    change(lines)
    _rehash(lines)
    found = world.verdicts(lines)
    assert found["chain"] == (True, "")
    assert found["tree"] == (True, "")
    assert found["checkpoints"] == (False, "rewritten")


async def test_a_history_signed_anew_is_a_fork(world: World) -> None:
    """Who holds the home's key can sign another history, but not unsign the one kept elsewhere."""
    lines = (await world.live()).export()
    _edit(lines)
    _rehash(lines)
    bodies = [lines[at]["body"].encode() for at in _entries(lines)]
    root = root_of([leaf_hash(body) for body in bodies])
    note = HomeKey.of(world.home).checkpoint(world.run, len(bodies), root)
    lines[:] = [line for line in lines if "checkpoint" not in line]
    lines.insert(-1, {"checkpoint": note})
    assert world.verdicts(lines, "--key", world.key, elsewhere=False)["checkpoints"] == (True, "")
    assert world.verdicts(lines)["checkpoints"] == (False, "forked")


async def test_two_journals_that_extend_one_checkpoint_are_a_fork(world: World) -> None:
    """Each is whole by itself; beside each other they part, and it is told where."""
    lines = (await world.live()).export()
    other = json.loads(json.dumps(lines))
    entries = _entries(other)
    at = entries[-1]
    other[at]["body"] = other[at]["body"].replace("the agent is done", "the agent is gone")
    other[:] = [
        line
        for line in other
        if "checkpoint" not in line or int(line["checkpoint"].split("\n")[1]) < len(entries)
    ]
    _rehash(other)
    path = world.folder / "other.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in other))
    assert set(check(path).values()) == {(True, "")}
    assert world.verdicts(lines, "--other", path)["fork"] == (False, "forked")
    path.write_text("".join(json.dumps(one) + "\n" for one in lines[:30]))
    assert world.verdicts(lines, "--other", path)["fork"] == (True, "")


def _flip(lines: Lines) -> None:
    at = next(at for at in _entries(lines) if '"audited":false' in lines[at]["body"])
    lines[at]["body"] = lines[at]["body"].replace('"audited":false', '"audited":true')


def _lower(lines: Lines) -> None:
    for at in _entries(lines):
        lines[at]["body"] = lines[at]["body"].replace('"probability":0.5', '"probability":0.25')


def _other_seed(lines: Lines) -> None:
    at = next(at for at in _entries(lines) if "seed.revealed" in lines[at]["body"])
    body = _body(lines[at])
    body["event"]["seed"] = "0" * 64
    lines[at]["body"] = canonical(body).decode()


def _no_draw(lines: Lines) -> None:
    del lines[next(at for at in _entries(lines) if "audit.drawn" in lines[at]["body"])]


@pytest.mark.parametrize("change", [_flip, _lower, _other_seed, _no_draw])
async def test_a_forged_draw_is_found(world: World, change: Callable[[Lines], None]) -> None:
    """Though the chain fits again, it does not come out of the seed and the proposal."""
    lines = (await world.live()).export()
    change(lines)
    _rehash(lines)
    assert world.verdicts(lines, elsewhere=False)["draws"] == (False, "forged draw")


def _change_content(lines: Lines) -> None:
    line = next(line for line in lines if line.get("text") == "note 3")
    line["text"] = "note X"


def _drop_content(lines: Lines) -> None:
    del lines[next(at for at, line in enumerate(lines) if line.get("text") == "note 3")]


@pytest.mark.parametrize(
    ("change", "what"),
    [(_change_content, "content changed"), (_drop_content, "content missing")],
)
async def test_contents_are_those_that_were_named(
    world: World, change: Callable[[Lines], None], what: str
) -> None:
    """Another content, or none, is found; without contents nothing is claimed of them."""
    lines = (await world.live()).export()
    change(lines)
    assert world.verdicts(lines)["contents"] == (False, what)
    with Store.open(world.home) as store:
        bare = list(journal_lines(store, world.run, contents=False))
    assert "note 3" not in json.dumps(bare)
    assert world.verdicts(bare)["contents"] == (None, "")


async def test_a_foreign_signature_is_found(world: World) -> None:
    """A note under another key, or with a bent signature, is not taken for the home's."""
    lines = (await world.live()).export()
    at = max(at for at, line in enumerate(lines) if "checkpoint" in line)
    note = lines[at]["checkpoint"]
    lines[at]["checkpoint"] = note[:-20] + ("A" if note[-20] != "A" else "B") + note[-19:]
    assert world.verdicts(lines, elsewhere=False)["checkpoints"] == (False, "not signed")
    other = world.folder / "other.pub"
    other.write_text(HomeKey(bytes(range(32))).public.text)
    lines = world.export()
    found = world.verdicts(lines, "--key", other, elsewhere=False)
    assert found["checkpoints"] == (False, "not signed")


async def test_a_proof_of_each_event_holds_and_a_changed_one_does_not(world: World) -> None:
    """Inclusion proofs against the newest checkpoint, each for one event without the others."""
    await world.live()
    key = CODE["parse_key"](world.key.read_text())
    with Store.open(world.home) as store:
        count = store.run(world.run).seq
        proofs = [prove(store, world.run, seq) for seq in range(count)]
    for proof in proofs:
        assert CODE["check_proof"](proof, key)[0] is True
        edited = proof | {"body": proof["body"].replace(world.run, "another")}
        assert CODE["check_proof"](edited, key)[:2] == (False, "edited")
        moved = proof | {"path": proof["path"][::-1]}
        assert CODE["check_proof"](moved, key)[0] is (len(set(proof["path"])) < 2)
    path = world.folder / "proof.json"
    path.write_text(json.dumps(proofs[3]))
    assert check("--proof", path, "--key", world.key) == {"proof": (True, "")}
    path.write_text(json.dumps(proofs[3] | {"body": proofs[4]["body"]}))
    assert check("--proof", path, "--key", world.key) == {"proof": (False, "edited")}
    path.write_text(json.dumps(proofs[3] | {"checkpoint": None}))
    assert check("--proof", path) == {"proof": (None, "")}


@pytest.mark.parametrize(
    ("text", "args", "said"),
    [
        ("hello\nthere\n", [], "line 1: not of a journal"),
        ('{"entry": 0, "hash": "", "body": "{}"}\n', [], "is no exported journal"),
        ("", ["--checkpoints", "nowhere"], "cannot read 'nowhere'"),
        ("", ["--key", "a+b+c"], "is not base64"),
    ],
)
def test_what_is_no_journal_is_bad_input(
    tmp_path: Path, text: str, args: list[str], said: str
) -> None:
    """One line, and code 2: nothing was checked."""
    path = tmp_path / "journal"
    path.write_text(text)
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(SCRIPT), str(path), *args],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@given(st.binary(max_size=80), st.integers(0, 511))
@settings(max_examples=15, deadline=None)
def test_signatures_of_the_library_verify_and_bent_ones_do_not(message: bytes, bit: int) -> None:
    """The plain Ed25519 agrees with the library, also when any one bit of a signature is bent."""
    private = Ed25519PrivateKey.generate()
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    verify = CODE["ed25519_verify"]
    assert verify(public, message, signature)
    bent = bytearray(signature)
    bent[bit // 8] ^= 1 << bit % 8
    assert not verify(public, message, bytes(bent))
    assert not verify(public, message + b"x", signature)
    assert not verify(hashlib.sha256(public).digest(), message, signature)


@given(
    st.text(max_size=20),
    st.floats(0, 1),
    st.lists(st.tuples(st.text(max_size=8), st.text("0123456789abcdef", min_size=4)), max_size=3),
)
@settings(max_examples=200, deadline=None)
def test_a_proposals_digest_is_the_runtimes(
    kind: str, probability: float, evidence: list[tuple[str, str]]
) -> None:
    """Whatever the words and numbers, both write the same canonical bytes."""
    said = {
        "segment": "r.1",
        "kind": kind,
        "probability": probability,
        "payload": {"ref": "aa", "size_bytes": 1},
        "rationale": {"ref": "bb", "size_bytes": 1},
        "evidence": [{"name": name, "ref": ref, "size_bytes": 0} for name, ref in evidence],
    }
    read = json.loads(canonical(said), parse_float=CODE["Raw"])
    expected = proposal_digest(
        segment="r.1",
        kind=kind,
        probability=probability,
        payload="aa",
        rationale="bb",
        evidence=evidence,
    )
    assert CODE["proposal_digest"](read) == expected


def test_the_order_of_alternatives_is_the_one_that_the_runtime_draws() -> None:
    """Seed and digest give one order; another one, or a name that moved, is not it."""
    seed, digest = bytes(range(32)), Sha256("ab" * 32)
    names = ["run.1", "run.1+1", "run.1+2", "run.1+3"]
    drawn = [[name] for name in order(seed, digest, names)]
    assert CODE["ordered"](seed, digest, drawn)
    assert CODE["ordered"](seed, digest, [drawn[0] + drawn[3], drawn[1], drawn[2]])
    assert not CODE["ordered"](seed, digest, drawn[::-1])
    assert not CODE["ordered"](seed, digest, [drawn[3] + drawn[0], drawn[1], drawn[2]])
