"""Checkpoints: signed, in every place, read after any crash; a run does not start against one."""

import base64
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monastery.runtime import checkpoint
from monastery.runtime.errors import BadInput, StoreError
from monastery.runtime.journal import TIMER_SECONDS
from monastery.runtime.keys import HomeKey, PublicKey
from monastery.runtime.merkle import leaf_hash, root_of
from monastery.runtime.note import parse_note, signed
from monastery.runtime.records import RunId
from monastery.runtime.store import Store
from monastery.runtime.verify import verify
from tests.runtime.world import SetAuditor, Small, approve, notes

pytestmark = pytest.mark.virtual


async def _stopped(home: Path, *, after: int = 2) -> tuple[Small, RunId]:
    """Live a run until so many steps are over, and stop it."""
    small = Small(home, notes("a", "b", "c", "d"), rate=0.0)
    row = small.new()
    with trio.CancelScope() as scope:
        small.watch = lambda record: (
            scope.cancel() if len(small.events("step.completed")) == after else None
        )
        await small.live(row)
    small.watch = None
    return small, row.run


def _verdict(home: Path, run: RunId, *args: Any) -> tuple[bool | None, str]:
    with Store.open(home) as store:
        (found,) = [one for one in verify(store, run, *args) if one.name == "checkpoint"]
    return found.verdict, found.reason


def test_the_published_note_is_read() -> None:
    """The example of the specification, whose key id is that of its name and key."""
    text = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/"
        "Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )
    note = parse_note(text.splitlines())
    assert (note.origin, note.size) == ("example.com/behind-the-sofa", 20852163)
    assert note.signatures[0].key_id.hex() == "033de0ae"
    assert len(note.signatures[0].raw) == 64


async def test_a_checkpoint_is_the_signed_root_of_the_journal(tmp_path: Path) -> None:
    """Each note's root is that of the entries up to its size, and its signature is the home's."""
    small = Small(tmp_path, notes("a", "b"), [SetAuditor(approve())])
    row = small.new()
    await small.live(row)
    public = HomeKey.of(tmp_path).public
    found = checkpoint.read(checkpoint.path_of(tmp_path, row.run))
    with Store.open(tmp_path) as store:
        leaves = [leaf_hash(entry.body) for entry in store.entries(row.run)]
    assert not found.torn
    assert found.notes[-1].size == len(leaves)
    told = [(record.seq + 1, record.event.type) for record in small.told]
    for kind in ("reward.issued", "step.started", "run.ended"):
        sizes = {seq for seq, name in told if name == kind}
        assert sizes <= {note.size for note in found.notes}, kind
    for note in found.notes:
        assert note.root == root_of(leaves[: note.size])
        assert note.origin == f"{public.name}/{row.run}"
        assert public.signed(note)


async def test_the_key_is_for_its_owner_alone_and_is_made_once(tmp_path: Path) -> None:
    """Mode 0600; another look finds the same; the public key lies beside the checkpoints."""
    _, run = await _stopped(tmp_path)
    path = tmp_path / "keys" / "checkpoints"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    public = HomeKey.of(tmp_path).public
    assert HomeKey.of(tmp_path).public.raw == public.raw
    beside = (tmp_path / "checkpoints" / f"{public.name}.pub").read_text()
    assert PublicKey.parse(beside).raw == public.raw
    assert _verdict(tmp_path, run)[0] is True


async def test_what_waits_is_signed_in_time(tmp_path: Path) -> None:
    """While nothing is appended the last events are signed all the same, once."""
    waiting = trio.Event()

    class Waits(SetAuditor):
        async def judge(self, case: Any, box: Any) -> Any:
            waiting.set()
            await trio.sleep(5 * TIMER_SECONDS)
            return approve()

    small = Small(tmp_path, notes("a"), [Waits(approve())])
    row = small.new()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(small.live, row)
        await waiting.wait()
        path = checkpoint.path_of(tmp_path, row.run)
        before = checkpoint.read(path).notes[-1].size
        assert before < len(small.told)
        await trio.sleep(2.5 * TIMER_SECONDS)
        sizes = [note.size for note in checkpoint.read(path).notes]
        assert sizes[-2:] == [before, len(small.told)]


async def test_a_second_place_gets_every_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What MONASTERY_CHECKPOINTS names holds the same notes and the public key."""
    elsewhere = tmp_path / "elsewhere" / "deep"
    monkeypatch.setenv(checkpoint.VARIABLE, str(elsewhere))
    small, run = await _stopped(tmp_path / "home")
    ours = (tmp_path / "home" / "checkpoints" / run).read_bytes()
    assert (elsewhere / run).read_bytes() == ours
    assert (elsewhere / f"{HomeKey.of(tmp_path / 'home').public.name}.pub").exists()
    # Put back with all that lies in the home, the journal is older than the copy elsewhere.
    shutil.copytree(tmp_path / "home", tmp_path / "old")
    assert (await small.live(small.claim(run))).success
    old = Small(tmp_path / "old", notes("a", "b", "c", "d"), rate=0.0)
    with pytest.raises((StoreError, ExceptionGroup), match="was put back"):
        await old.live(old.claim(run))
    assert old.notebook.done == []


async def test_a_place_that_cannot_be_written_stops_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asked for copies elsewhere is told when there are none."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(checkpoint.VARIABLE, str(tmp_path / "file"))
    small = Small(tmp_path / "home", notes("a"), rate=0.0)
    with pytest.raises(StoreError, match="cannot note a checkpoint in"):
        await small.live(small.new())
    assert small.notebook.done == []


async def test_a_note_that_was_cut_short_is_no_tampering(tmp_path: Path) -> None:
    """Cut at every byte, the last note is left out, the others agree, and the run goes on."""
    _, run = await _stopped(tmp_path / "home", after=1)
    path = checkpoint.path_of(tmp_path / "home", run)
    whole = path.read_bytes()
    notes_ = checkpoint.read(path).notes
    begins = whole.rindex(notes_[-1].origin.encode())
    for cut in [*range(begins, len(whole)), len(whole)]:
        path.write_bytes(whole[:cut])
        found = checkpoint.read(path)
        assert found.torn == (cut not in (begins, len(whole))), cut
        assert len(found.notes) == len(notes_) - (cut < len(whole)), cut
    path.write_bytes(whole[:-30])
    verdict, reason = _verdict(tmp_path / "home", run)
    assert verdict is True
    assert "the last one was cut short" in reason
    small = Small(tmp_path / "home", notes("a", "b", "c", "d"), rate=0.0)
    assert (await small.live(small.claim(run))).success
    assert not checkpoint.read(path).torn
    assert _verdict(tmp_path / "home", run)[0] is True


@pytest.mark.parametrize("cut", [0, 1, 9, 30])
async def test_a_first_note_that_was_cut_short_is_no_tampering(tmp_path: Path, cut: int) -> None:
    """Nor is a file that holds no whole note yet; after a power cut it may hold zeros."""
    _, run = await _stopped(tmp_path, after=1)
    path = checkpoint.path_of(tmp_path, run)
    path.write_bytes(path.read_bytes()[:cut] if cut != 9 else bytes(9))
    assert checkpoint.read(path).notes == []
    small = Small(tmp_path, notes("a", "b", "c", "d"), rate=0.0)
    assert (await small.live(small.claim(run))).success


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "a line from elsewhere\n" + text,
        lambda text: text.replace("\n\n— ", "\n\n- ", 1),
        lambda text: text.replace("=\n\n", "\n\n", 1),
        lambda text: text.replace("\n\n", "\n", 1),
    ],
)
async def test_damage_elsewhere_in_the_file_is_told(tmp_path: Path, change: Any) -> None:
    """Only the last note can have been cut short; anything else is named with its line."""
    small, run = await _stopped(tmp_path)
    path = checkpoint.path_of(tmp_path, run)
    path.write_text(change(path.read_text()))
    with pytest.raises(BadInput, match=r"no checkpoints in .*begins no checkpoint"):
        checkpoint.read(path)
    with pytest.raises(BadInput, match="no checkpoints in"):
        await small.live(small.claim(run))


def _roll_back(home: Path, run: RunId) -> None:
    """Cut the journal after the first step, as somebody would who keeps the chain whole."""
    with apsw.Connection(str(home / "monastery.sqlite3")) as db:
        rows = db.execute("SELECT seq, hash, body FROM events ORDER BY seq").fetchall()
        kept = rows[:9]
        db.execute("DELETE FROM events WHERE seq >= 9")
        from monastery.runtime.merkle import Frontier

        tree = Frontier().append([leaf_hash(body) for _, _, body in kept])
        db.execute("UPDATE runs SET seq = 9, head = ?, frontier = ?", (kept[-1][1], tree.encode()))


async def test_a_run_does_not_go_on_from_a_journal_older_than_its_checkpoint(
    tmp_path: Path,
) -> None:
    """Rolled back with care, so that everything in the database fits: the start is refused."""
    small, run = await _stopped(tmp_path)
    _roll_back(tmp_path, run)
    done = list(small.notebook.done)
    with pytest.raises(StoreError, match=r"was put back: it has 9 events, and .* remembers \d\d"):
        await small.live(small.claim(run))
    assert small.notebook.done == done
    assert _verdict(tmp_path, run)[0] is False


async def test_a_run_does_not_go_on_against_a_checkpoint_that_differs(tmp_path: Path) -> None:
    """A note that the home's key signed, for another journal of the same run."""
    small, run = await _stopped(tmp_path)
    path = checkpoint.path_of(tmp_path, run)
    size = checkpoint.read(path).notes[-1].size
    path.write_text(HomeKey.of(tmp_path).checkpoint(run, size, bytes(32)))
    with pytest.raises(StoreError, match="is not the one whose checkpoint of"):
        await small.live(small.claim(run))
    assert _verdict(tmp_path, run)[0] is False


@pytest.mark.parametrize("forged", ["another key", "another run", "a bent signature", "lost key"])
async def test_a_run_does_not_go_on_against_a_foreign_signature(
    tmp_path: Path, forged: str
) -> None:
    """Only this home's key speaks for its runs."""
    small, run = await _stopped(tmp_path)
    path = checkpoint.path_of(tmp_path, run)
    note = checkpoint.read(path).notes[-1]
    public = HomeKey.of(tmp_path).public
    if forged == "another key":
        foreign = Ed25519PrivateKey.generate()
        path.write_text(
            signed(note.text, public.name, public.raw, foreign.sign(note.text.encode()))
        )
    elif forged == "another run":
        path.write_text(HomeKey.of(tmp_path).checkpoint("another", note.size, note.root))
    elif forged == "a bent signature":
        raw = bytearray(note.signatures[0].raw)
        raw[10] ^= 1
        path.write_text(signed(note.text, public.name, public.raw, bytes(raw)))
    else:
        (tmp_path / "keys" / "checkpoints").unlink()
    with pytest.raises(StoreError, match="is not signed by this home's key"):
        await small.live(small.claim(run))
    assert _verdict(tmp_path, run)[0] is False


async def test_a_key_that_is_damaged_is_named(tmp_path: Path) -> None:
    """One line says which file, and the mend."""
    small, run = await _stopped(tmp_path)
    (tmp_path / "keys" / "checkpoints").write_text("monastery-ed25519:AAAA\n")
    with pytest.raises(StoreError, match=r"keys/checkpoints' holds no key; put the right one back"):
        await small.live(small.claim(run))


async def test_a_key_kept_elsewhere_decides(tmp_path: Path) -> None:
    """Whoever has the home can sign anew; not with the key that was kept elsewhere."""
    _, run = await _stopped(tmp_path)
    kept = HomeKey.of(tmp_path).public
    assert _verdict(tmp_path, run, None, kept)[0] is True
    other = HomeKey(os.urandom(32)).public
    verdict, reason = _verdict(tmp_path, run, None, other)
    assert verdict is False
    assert f"is not signed by {other.name}" in reason


@pytest.mark.parametrize(
    "text",
    ["", "monastery-1+00000000+AAAA", "x", "a+b+c", f"m+{'0' * 8}+{base64.b64encode(b'x' * 33)!r}"],
)
def test_what_is_no_public_key_is_refused(text: str) -> None:
    """A key with another name or id is none."""
    with pytest.raises(ValueError, match="is no"):
        PublicKey.parse(text)
