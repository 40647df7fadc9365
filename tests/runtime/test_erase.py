"""Erasing: what was meant to go is gone from every file; proofs that need no bytes hold."""

import hashlib
import hmac
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from monastery.auditor.person import PersonAuditor
from monastery.runtime.content import Sealer, belongs, ref_of
from monastery.runtime.erase import plan, spellings
from monastery.runtime.errors import BadInput, Erased, StoreError
from monastery.runtime.proofs import journal_lines
from monastery.runtime.records import Answer, RunId, Vote
from monastery.runtime.rows import RunRow
from monastery.runtime.segment_lines import export_lines
from monastery.runtime.store import Store
from monastery.runtime.story import tell
from monastery.runtime.verify import verify
from tests.runtime.world import SetAuditor, Small, approve, notes

SECRET = "4711-ada"
pytestmark = pytest.mark.virtual


class Clerk:
    """Answers the desk's first question with the secret in its note; else approves."""

    name = "clerk"

    def __init__(self, small: Small) -> None:
        self._small = small
        self._asked = False

    async def judge(self, case: Any, box: Any) -> Vote:
        if self._asked:
            return approve(name="clerk")
        self._asked = True

        async def answer() -> None:
            with Store.open(self._small.home) as store:
                while not (waiting := store.items()):  # noqa: ASYNC110 - as a person would
                    await trio.sleep(0.1)
                item = waiting[0].item
                body = {"decision": "modify", "score": 0.5, "digest": item.body["digest"]}
                body["modified_base64"] = "cGF5IDQ3MTEtYWRh"  # "pay 4711-ada"
                store.answer(Answer(item.id, "ada", datetime.now(UTC), body))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            return await PersonAuditor("clerk", 600.0, self._small.desk).judge(case, box)


class Echo:
    """A policy that says the secret back."""

    name = "echo"

    async def call(self, body: Any) -> dict[str, Any]:
        return {"said": SECRET}


async def _agent(inside: Any) -> int:
    """Write the secret into everything that an agent can fill, once; then go on without."""
    if not inside.history:
        inside.print(f"the number is {SECRET}\n")
        await inside.model({"prompt": f"is {SECRET} right?"})
        await inside.propose("note", "bad", "refused")
        await inside.propose("note", f'\x00 {SECRET} "quoted"', f"because of {SECRET}")
    for number in range(len(inside.history), 4):
        await inside.propose("note", f"harmless {number}", "no reason")
    return 0


async def _lived(home: Path, *, stop_after: int | None = None) -> tuple[Small, RunId]:
    small = Small(home, _agent, policy=Echo())
    small.auditors = [Clerk(small)]
    row = small.new()
    with trio.CancelScope() as scope:
        if stop_after is not None:
            small.watch = lambda record: (
                scope.cancel() if len(small.events("step.completed")) == stop_after else None
            )
        await small.live(row)
    small.watch = None
    return small, row.run


def _erase(home: Path, run: RunId, **what: Any) -> list[str]:
    with Store.open(home) as store:
        found = plan(store, store.run(run), **what)
        store.erase(run, found.refs, found.items)
    return found.refs


def _row(home: Path, run: RunId) -> RunRow:
    with Store.open(home) as store:
        return store.run(run)


def _verdicts(home: Path, run: RunId) -> dict[str, bool | None]:
    with Store.open(home) as store:
        found = verify(store, run)
    print(*found, sep="\n")
    return {one.name: one.verdict for one in found}


def _contents(home: Path, run: RunId) -> dict[str, tuple[bytes | None, bytes]]:
    """Return salt and content of everything that the run names and that is still there."""
    kept = {}
    with Store.open(home) as store:
        for line in journal_lines(store, run):
            if "content" in line and not line.get("erased"):
                kept[line["content"]] = store.sealed(line["content"])
    return kept


def _found(home: Path, needles: Iterable[bytes]) -> set[tuple[str, bytes]]:
    """Return which bytes are in which file of a home."""
    wanted = list(needles)
    files = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.name == "monastery.sqlite3" for path in files)
    return {
        (path.name, needle) for path in files for needle in wanted if needle in path.read_bytes()
    }


def _traces(contents: dict[str, tuple[bytes | None, bytes]]) -> list[bytes]:
    """Return what would let somebody confirm a guess at a content: its bare hash, and its salt."""
    hashes = [hashlib.sha256(content) for _, content in contents.values()]
    salts = [salt for salt, _ in contents.values() if salt is not None]
    return [
        *(one.digest() for one in hashes),
        *(one.hexdigest().encode() for one in hashes),
        *salts,
        *(salt.hex().encode() for salt in salts),
    ]


async def test_no_event_holds_a_bare_hash_of_a_content(tmp_path: Path) -> None:
    """Proposals, draws, cases, votes, rewards, items: everything is named by its salted hash."""
    _, run = await _lived(tmp_path)
    contents = _contents(tmp_path, run)
    bare = [hashlib.sha256(content).hexdigest().encode() for _, content in contents.values()]
    with Store.open(tmp_path) as store:
        bodies = b"\n".join(entry.body for entry in store.entries(run))
    assert len(contents) > 20
    assert [one for one in bare if one in bodies] == []
    assert all(ref.encode() in bodies for ref in contents)


async def test_what_was_erased_is_in_no_file_and_cannot_be_guessed(tmp_path: Path) -> None:
    """Neither the bytes in any spelling, nor a bare hash, a salt or the key that made it."""
    _, run = await _lived(tmp_path)
    before = _contents(tmp_path, run)
    planted = {ref: one for ref, one in before.items() if SECRET.encode() in one[1]}
    assert len(planted) > 8
    key = _row(tmp_path, run).content_key
    traces = [*spellings(SECRET.encode()), *_traces(planted), key]
    there = {needle for _, needle in _found(tmp_path, traces)}
    assert SECRET.encode() in there
    assert key in there
    erased = _erase(tmp_path, run, matching=SECRET.encode())
    assert set(planted) <= set(erased)
    assert _found(tmp_path, traces) == set()
    # Who holds all that is left, and guesses right, cannot tell.
    left = [_row(tmp_path, run).content_key, *(salt for salt, _ in before.values() if salt)]
    for ref, (salt, content) in planted.items():
        digest = hashlib.sha256(content).digest()
        guesses = [one for one in left if one != salt]
        guesses += [hmac.digest(one, digest, "sha256") for one in left]
        assert ref == ref_of(salt, content)
        assert ref not in {ref_of(one, content) for one in [None, *guesses]}


async def test_the_search_would_find_what_is_left(tmp_path: Path) -> None:
    """The test above is not blind: erased without writing the file anew, traces are found."""
    await _lived(tmp_path)
    with Store.open(tmp_path) as store:
        store._db.pragma("secure_delete", False)
        store._db.execute("UPDATE blobs SET content = x'', salt = NULL, erased = 'now'")
        store._db.execute("DELETE FROM items")
        store._db.execute("DELETE FROM answers")
    assert _found(tmp_path, [SECRET.encode()])


async def test_every_verdict_that_needs_no_bytes_still_holds(tmp_path: Path) -> None:
    """Only what the erased cases told can no longer be checked, and it is said so."""
    _, run = await _lived(tmp_path)
    assert set(_verdicts(tmp_path, run).values()) == {True}
    _erase(tmp_path, run, matching=SECRET.encode())
    verdicts = _verdicts(tmp_path, run)
    assert verdicts.pop("outcome order") is None
    assert set(verdicts.values()) == {True}
    with Store.open(tmp_path) as store:
        (integrity, *_) = verify(store, run)
        assert "contents were erased" in integrity.reason


async def test_a_tampered_content_is_not_excused_by_an_erased_one(tmp_path: Path) -> None:
    """Erasing one thing does not make another free."""
    _, run = await _lived(tmp_path)
    _erase(tmp_path, run, matching=SECRET.encode())
    with Store.open(tmp_path) as store:
        store._db.execute(
            "UPDATE blobs SET content = CAST('harmful' AS BLOB)"
            " WHERE content = CAST('harmless 2' AS BLOB)"
        )
    assert _verdicts(tmp_path, run)["integrity"] is False


async def test_a_run_goes_on_after_something_of_it_was_erased(tmp_path: Path) -> None:
    """The agent and the auditors are told that it was erased, and nothing else changes."""
    small, run = await _lived(tmp_path, stop_after=2)
    _erase(tmp_path, run, segment=1)
    histories: list[Any] = []
    agent = small.agent

    async def again(inside: Any) -> Any:
        histories.extend(inside.history)
        return await agent(inside)

    small.sandbox._agent = again
    ending = await small.live(small.claim(run))
    assert ending.success
    assert [step["payload"] for step in histories] == ["[erased]", "harmless 0"]
    assert histories[0]["content"] == {"erased": True}
    verdicts = _verdicts(tmp_path, run)
    assert verdicts.pop("outcome order") is None
    assert set(verdicts.values()) == {True}
    lines = list(_exported(tmp_path, run))
    assert lines[0]["trainable"]["proposal"]["payload"] == {"erased": True}
    assert lines[0]["trainable"]["responses"] == [{"erased": True}]
    assert lines[1]["context"]["earlier"][0]["payload"] == {"erased": True}
    assert lines[1]["trainable"]["proposal"]["payload"] == {"text": "harmless 0"}


def _exported(home: Path, run: RunId) -> list[dict[str, Any]]:
    with Store.open(home) as store:
        return list(export_lines(store, run))


async def test_the_same_bytes_get_another_name_afterwards(tmp_path: Path) -> None:
    """The key is a new one: what is written later cannot confirm what was erased."""
    _, run = await _lived(tmp_path, stop_after=2)
    before = Sealer(_row(tmp_path, run).content_key)
    assert before.seal(b"x") == Sealer(_row(tmp_path, run).content_key).seal(b"x")
    _erase(tmp_path, run, matching=SECRET.encode())
    after = Sealer(_row(tmp_path, run).content_key)
    assert after.seal(SECRET.encode()).ref != before.seal(SECRET.encode()).ref


async def test_an_erasure_in_the_middle_of_a_step_leaves_its_record_whole(tmp_path: Path) -> None:
    """The key changes between proposal and gate: what is named by the new one is kept under it."""
    small = Small(tmp_path, notes("first one", "second one"), [SetAuditor(approve())])
    row = small.new()
    with trio.CancelScope() as scope:
        small.watch = lambda record: (
            scope.cancel() if len(small.events("reward.issued")) == 2 else None
        )
        await small.live(row)
    small.watch = None
    proposed = small.events("proposal.frozen")[-1].payload.ref
    with pytest.raises(BadInput, match="still open"):  # its auditors were told of segment 1
        _erase(tmp_path, row.run, segment=1)
    assert len(_erase(tmp_path, row.run, matching=b"I think of first one.")) == 1
    assert (await small.live(small.claim(row.run))).success
    assert small.notebook.done == [b"first one", b"second one"]
    assert small.events("step.started")[-1].payload.ref != proposed
    verdicts = _verdicts(tmp_path, row.run)
    assert (verdicts["integrity"], verdicts["draws"]) == (True, True)


async def test_erasing_a_payload_takes_every_case_that_tells_it(tmp_path: Path) -> None:
    """Its own case and questions, its outcome, later cases; the next payload stays."""
    _, run = await _lived(tmp_path)
    with Store.open(tmp_path) as store:
        segments = tell(store, run).segments
        first, second = segments[0], segments[1]
        assert first.proposal is not None
        assert first.shown is not None
        assert first.completed is not None
        assert second.shown is not None
        assert second.proposal is not None
        found = plan(store, store.run(run), content=first.proposal.payload.ref[:16])
    refs = set(found.refs)
    assert {first.proposal.payload.ref, first.shown.case.ref, second.shown.case.ref} <= refs
    assert first.completed.content.ref in refs
    assert second.proposal.payload.ref not in refs
    assert [item.rpartition(".")[2] for item in found.items] == ["clerk"]


async def test_a_question_and_its_answer_are_emptied(tmp_path: Path) -> None:
    """Their rows are still there, closed as they were, and say that they were erased."""
    _, run = await _lived(tmp_path)
    _erase(tmp_path, run, segment=1)
    with Store.open(tmp_path) as store:
        (stored,) = store.items(state=None)
        assert stored.state == "answered"
        assert stored.item.body == {"kind": "note", "step": 1, "erased": True}
        answer = store.answered(stored.item.id)
        assert answer is not None
        assert (answer.by, answer.body) == ("ada", {"erased": True})


async def test_words_of_an_event_itself_are_told(tmp_path: Path) -> None:
    """A note that quotes the secret cannot be taken out of the chain: where it is, is said."""
    small = Small(tmp_path, notes(f"pay {SECRET}"))
    small.auditors = [_Quotes()]
    row = small.new()
    await small.live(row)
    with Store.open(tmp_path) as store:
        found = plan(store, store.run(row.run), matching=SECRET.encode())
        kinds = {small.told[seq].event.type for seq in found.remains}
    assert kinds == {"audit.voted", "audit.scored", "gate.decided"}


class _Quotes:
    name = "quotes"

    async def judge(self, case: Any, box: Any) -> Vote:
        return Vote("quotes", "approve", 0.5, note=f"why {SECRET}?")


async def test_what_is_still_needed_is_not_erased(tmp_path: Path) -> None:
    """Not the open segment, nor the project file; and too few bytes are not searched for."""
    _, run = await _lived(tmp_path, stop_after=2)
    with Store.open(tmp_path) as store:
        row, story = store.run(run), tell(store, run)
        assert story.started is not None
        for what, said in [
            ({"segment": 3}, "segment 3, which is still open"),
            ({"segment": 9}, "no segment 9; it has 1 to 3"),
            ({"content": story.started.project_file.ref}, "is the project file"),
            ({"matching": b"name: small"}, "is the project file"),
            ({"matching": b"abc"}, "3 bytes are too few"),
            ({"content": "nope"}, "no content 'nope'"),
            ({"content": ""}, "no content ''"),
        ]:
            with pytest.raises(BadInput, match=said):
                plan(store, row, **what)  # type: ignore[arg-type]


async def test_a_deferred_audit_keeps_what_it_needs(tmp_path: Path) -> None:
    """A step that is over, and whose audit still waits, is not erased from under it."""
    small = Small(tmp_path, notes("one", "two"), audit={"mode": "deferred"})

    class Never:
        name = "never"

        async def judge(self, case: Any, box: Any) -> Vote:
            await trio.sleep_forever()
            raise AssertionError

    small.auditors = [Never()]
    row = small.new()
    with trio.CancelScope() as scope:
        small.watch = lambda record: (
            scope.cancel() if len(small.events("step.completed")) == 2 else None
        )
        await small.live(row)
    with Store.open(tmp_path) as store, pytest.raises(BadInput, match="still open"):
        plan(store, store.run(row.run), segment=1)


async def test_a_home_in_which_something_runs_is_not_written_anew(tmp_path: Path) -> None:
    """Neither of the run itself nor of another one of the same home; nothing was erased."""
    small, run = await _lived(tmp_path)
    other = small.new()
    with Store.open(tmp_path) as store:
        found = plan(store, store.run(run), matching=SECRET.encode())
        with pytest.raises(BadInput, match=f"run '{other.run}' of this home is being run; stop"):
            store.erase(run, found.refs, found.items)
        assert store.blob(found.refs[0])
        store.release(other.run, other.epoch)
        store.erase(run, found.refs, found.items)
        with pytest.raises(Erased, match="was erased at 20"):
            store.blob(found.refs[0])


async def test_a_reader_in_the_way_is_told_and_the_next_call_clears_up(tmp_path: Path) -> None:
    """While another process reads the old state its bytes are left; erasing again takes them."""
    _, run = await _lived(tmp_path)
    with Store.open(tmp_path) as store, Store.open(tmp_path) as reader:
        store._db.set_busy_timeout(10)
        reading = reader.entries(run)
        next(reading)
        found = plan(store, store.run(run), matching=SECRET.encode())
        with pytest.raises(StoreError, match=r"could not be written anew .* erase once more"):
            store.erase(run, found.refs, found.items)
        assert _found(tmp_path, [SECRET.encode()])
        list(reading)
    assert _erase(tmp_path, run, matching=SECRET.encode()) == []
    assert _found(tmp_path, [SECRET.encode()]) == set()


@given(st.binary(min_size=4, max_size=12), st.binary(max_size=5), st.binary(max_size=5))
@settings(max_examples=200, deadline=None)
def test_bytes_are_found_in_base64_wherever_they_begin(
    secret: bytes, before: bytes, after: bytes
) -> None:
    """Whatever stands before and after."""
    import base64

    encoded = base64.b64encode(before + secret + after)
    assert any(form in encoded for form in spellings(secret))


@given(st.text(min_size=4, max_size=12), st.integers(0, 2))
@settings(max_examples=200, deadline=None)
def test_text_is_found_in_json_and_in_json_within_json(secret: str, depth: int) -> None:
    """As a program writes it, and written into another text."""
    for ascii_ in (True, False):
        text = secret
        for _ in range(depth):
            text = json.dumps({"a": text}, ensure_ascii=ascii_)
            ascii_ = False
        assert any(
            form in text.encode(errors="surrogatepass") for form in spellings(secret.encode())
        )


def test_a_content_is_not_taken_for_another_with_a_salt() -> None:
    """Tag, salt and content written as one content have the same hash, and are refused."""
    sealed = Sealer(bytes(32)).seal(b"content")
    merged = b"monastery.content.v2\n" + sealed.salt + sealed.content
    assert hashlib.sha256(merged).hexdigest() == sealed.ref
    assert belongs(sealed.ref, sealed.salt, b"content")
    assert not belongs(sealed.ref, None, merged)
    assert not belongs(sealed.ref, bytes(32), b"content")
