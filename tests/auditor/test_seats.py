"""Panels: several people alone, an adjudicator where they disagree, nobody twice."""

from datetime import UTC, datetime
from typing import Any

import pytest
import trio

from monastery.auditor.seats import PanelAuditor
from monastery.runtime.errors import AuditExpired, AuditFailed
from monastery.runtime.people import question_of
from monastery.runtime.records import Answer, Case, Item, Vote

NOW = datetime(2026, 11, 21, 9, 15, tzinfo=UTC)
Said = tuple[str, dict[str, Any]]


class Seats:
    """A desk at which who sits where is set; a seat that is not set is never filled."""

    def __init__(self, case: Case, **seats: Said) -> None:
        self.case, self.seats = case, seats
        self.items: list[Item] = []

    async def ask(self, item: Item) -> Answer | None:
        """Answer as the seat says."""
        await trio.lowlevel.checkpoint()
        self.items.append(item)
        found = self.seats.get("s" + item.id.rpartition(".")[2])
        if found is None:
            return None
        by, body = found
        return Answer(item.id, by, NOW, {"digest": self.case.digest, "desk": {}} | body)

    async def withdraw(self, prefix: str) -> None:
        """Do nothing."""


def _said(decision: str, score: float, **more: Any) -> dict[str, Any]:
    return {"decision": decision, "score": score, **more}


async def _judge(desk: Seats, box: Any, votes: int = 2, **rules: Any) -> Vote:
    panel = PanelAuditor("reviewers", votes, 0.4, 60.0, desk, now=lambda: NOW, **rules)
    return await panel.judge(desk.case, box)


async def test_votes_that_agree_are_the_mean_and_the_most_careful(case: Case, box: Any) -> None:
    """Each seat is a question of the panel's own, and all of them one opinion."""
    desk = Seats(
        case,
        s1=("ada", _said("approve", 0.9, note="fine")),
        s2=("bob", _said("escalate", 0.5)),
    )
    vote = await _judge(desk, box)
    assert vote == Vote("reviewers", "escalate", 0.7, "ada: fine")
    questions = [question_of(item) for item in desk.items]
    assert {one.opinion for one in questions} == {f"{case.item}.reviewers"}
    assert all(one.panel and one.asked == "reviewers" for one in questions)


async def test_seats_come_together_by_the_projects_rules(case: Case, box: Any) -> None:
    """As auditors do: by the median, and the decision of more than half, where it says so."""
    desk = Seats(
        case,
        s1=("ada", _said("approve", 0.9)),
        s2=("bob", _said("escalate", 0.5)),
        s3=("eve", _said("approve", 0.8)),
    )
    vote = await _judge(desk, box, votes=3, score="median", decision="majority")
    assert vote == Vote("reviewers", "approve", 0.8)
    careful = await _judge(desk, box, votes=3)
    assert (careful.decision, careful.score) == ("escalate", pytest.approx(2.2 / 3))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (_said("approve", 0.9), _said("approve", 0.4)),
        (_said("approve", 0.6), _said("reject", 0.5)),
        (_said("modify", 0.6, modified_base64="QQ=="), _said("approve", 0.6)),
        (
            _said("modify", 0.6, modified_base64="QQ=="),
            _said("modify", 0.6, modified_base64="Qg=="),
        ),
    ],
)
async def test_where_they_disagree_an_adjudicator_decides(
    case: Case, box: Any, one: dict[str, Any], two: dict[str, Any]
) -> None:
    """Someone else, of that role; theirs is the panel's vote."""
    desk = Seats(case, s1=("ada", one), s2=("bob", two), sadjudicator=("eve", _said("reject", 0.2)))
    assert await _judge(desk, box) == Vote("reviewers", "reject", 0.2)
    assert question_of(desk.items[-1]).role == "adjudicator"


async def test_one_person_is_not_two(case: Case, box: Any) -> None:
    """Whatever the desk let through, the same name twice is no measurement."""
    desk = Seats(case, s1=("ada", _said("approve", 0.9)), s2=("ada", _said("approve", 0.9)))
    with pytest.raises(AuditFailed, match="answered twice"):
        await _judge(desk, box)
    adjudged = Seats(
        case,
        s1=("ada", _said("approve", 0.9)),
        s2=("bob", _said("reject", 0.1)),
        sadjudicator=("ada", _said("approve", 0.9)),
    )
    with pytest.raises(AuditFailed, match="answered twice"):
        await _judge(adjudged, box)


async def test_a_seat_that_stays_empty_expires_and_nonsense_fails(case: Case, box: Any) -> None:
    """A mean of those who happened to answer would be no measurement."""
    with pytest.raises(AuditExpired):
        await _judge(Seats(case, s1=("ada", _said("approve", 0.9))), box)
    with pytest.raises(AuditFailed, match="score"):
        await _judge(Seats(case, s1=("ada", _said("approve", 7.0))), box, votes=1)
    other = Seats(case, s1=("ada", _said("approve", 0.9, digest="0" * 64)))
    with pytest.raises(AuditFailed, match="another case"):
        await _judge(other, box, votes=1)
