"""People as auditors, through a desk in memory."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio

from monastery.auditor.person import PersonAuditor
from monastery.runtime.canonical import canonical, sha256
from monastery.runtime.cases import shown
from monastery.runtime.errors import AuditExpired, AuditFailed
from monastery.runtime.records import Answer, Case, Item, Vote

NOW = datetime(2026, 11, 21, 9, 15, tzinfo=UTC)


class MemoryDesk:
    """Answers every question with the same body, or with nothing."""

    def __init__(self, body: dict[str, Any] | None) -> None:
        self.body = body
        self.items: list[Item] = []

    async def ask(self, item: Item) -> Answer | None:
        """Keep the question and answer it."""
        await trio.lowlevel.checkpoint()
        self.items.append(item)
        return None if self.body is None else Answer(item.id, "alice", NOW, self.body)

    async def withdraw(self, prefix: str) -> None:
        """Do nothing: no question stays open here."""


def auditor(desk: MemoryDesk) -> PersonAuditor:
    """Return Bob, who has a minute."""
    return PersonAuditor("bob", 60.0, desk, now=lambda: NOW)


async def test_answer_is_a_vote(case: Case, box: Any) -> None:
    """A whole answer becomes the vote of the person who was asked, modified bytes and all."""
    desk = MemoryDesk(
        {
            "decision": "modify",
            "score": 0.5,
            "note": "smaller",
            "modified_base64": "AP8=",
            "digest": case.digest,
        }
    )
    vote = await auditor(desk).judge(case, box)
    assert vote == Vote("bob", "modify", 0.5, "smaller", b"\x00\xff")
    assert box.forks == 0


async def test_item_shows_the_case(case: Case, box: Any) -> None:
    """The question names person and run, shows all of the case, and has the deadline asked for."""
    desk = MemoryDesk({"decision": "approve", "score": 1, "digest": case.digest})
    await auditor(desk).judge(case, box)
    (item,) = desk.items
    assert item.id == "repair-20261121-091500-k3f9.3.audit.bob"
    assert item.run == "repair-20261121-091500-k3f9"
    assert item.purpose == "audit"
    assert item.created == NOW
    assert item.deadline == NOW + timedelta(seconds=60)
    assert item.body == {**shown(case), "for": "bob"}


async def test_digest_binds_every_word(case: Case, box: Any) -> None:
    """The digest that an answer names can be computed from the item alone: all of it is bound."""
    desk = MemoryDesk({"decision": "approve", "score": 1, "digest": case.digest})
    await auditor(desk).judge(case, box)
    core = dict(desk.items[0].body)
    digest, item, asked = core.pop("digest"), core.pop("item"), core.pop("for")
    assert (item, asked) == (case.item, "bob")
    payload = base64.b64decode(core.pop("payload_base64"))
    assert core["payload_sha256"] == sha256(payload)
    core["evidence"] = [
        {
            "name": one["name"],
            "sha256": sha256(base64.b64decode(one["base64"])),
            "size_bytes": len(base64.b64decode(one["base64"])),
        }
        for one in core["evidence"]
    ]
    assert sha256(canonical(core)) == digest


async def test_no_answer_is_expired(case: Case, box: Any) -> None:
    """Nobody answering is told apart from a failure, and is neither a vote nor a rejection."""
    with pytest.raises(AuditExpired, match="within 60 s"):
        await auditor(MemoryDesk(None)).judge(case, box)


@pytest.mark.parametrize("digest", ["0" * 64, None, 7, ""])
async def test_other_case_is_refused(digest: object, case: Case, box: Any) -> None:
    """An answer that names another case than the one shown does not count."""
    desk = MemoryDesk({"decision": "approve", "score": 1.0, "digest": digest})
    with pytest.raises(AuditFailed, match="another case"):
        await auditor(desk).judge(case, box)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"decision": "approve"},
        {"decision": "approve", "score": None},
        {"decision": "approve", "score": 2},
        {"decision": "approve", "score": float("nan")},
        {"decision": "approve", "score": 1.0, "by": "me"},
        {"decision": "allow", "score": 1.0},
        {"decision": "modify", "score": 1.0},
    ],
)
async def test_nonsense_is_refused(answer: dict[str, Any], case: Case, box: Any) -> None:
    """People's answers are held to the same rules as programs'."""
    with pytest.raises(AuditFailed, match="no vote that counts") as failed:
        await auditor(MemoryDesk({**answer, "digest": case.digest})).judge(case, box)
    assert not isinstance(failed.value, AuditExpired)


async def test_the_desks_ballots_are_no_part_of_the_vote(case: Case, box: Any) -> None:
    """What the desk keeps beside a vote goes into the record, and what it wants into the item."""
    said = {"decision": "approve", "score": 1.0, "digest": case.digest}
    desk = MemoryDesk(said | {"desk": {"ballots": [{"stage": "first", **said}]}})
    wants = {"two_votes": False, "runner": "ada"}
    asked = PersonAuditor("bob", 60.0, desk, now=lambda: NOW, wants=wants)
    assert await asked.judge(case, box) == Vote("bob", "approve", 1.0)
    assert desk.items[0].body["desk"] == wants


async def test_where_steps_are_planted_an_id_ends_in_six_digits(case: Case, box: Any) -> None:
    """Made of the proposal's hash: the same when asked again, another about another proposal."""
    desk = MemoryDesk({"decision": "approve", "score": 1.0, "digest": case.digest})
    wants = {"planted": {"rate": 0.08, "floor": 0.7}}
    asked = PersonAuditor("bob", 60.0, desk, now=lambda: NOW, wants=wants)
    other = replace(case, proposal=replace(case.proposal, digest=sha256(b"another")))
    for one in (case, case, other):
        await asked.judge(one, box)
    names = [str(item.id) for item in desk.items]
    assert names[0] == names[1] != names[2]
    for name in names:
        base, _, digits = name.partition("~")
        assert base == f"{case.item}.bob"
        assert len(digits) == 6
        assert digits.isdecimal()
