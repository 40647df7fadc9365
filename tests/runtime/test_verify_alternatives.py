"""Verifying alternatives: each way to falsify what was compared is found, however well hashed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monastery.runtime.records import RunId
from tests.runtime.test_alternatives import Compares, proposer, small, verdicts
from tests.runtime.test_verify import _at, _first, _forge

pytestmark = pytest.mark.virtual
Bodies = list[dict[str, Any]]


async def _recorded(home: Path) -> RunId:
    world = small(home, proposer("a", "bb", "ccc", model=True), Compares(), policy=Echoes())
    row = world.new()
    assert (await world.live(row)).success
    return row.run


class Echoes:
    """A policy that answers with nothing."""

    name = "echoes"

    async def call(self, body: Any) -> dict[str, Any]:
        """Answer."""
        return {}


def _reorder(bodies: Bodies) -> None:
    _first(bodies, "alternatives.ordered")["order"].reverse()


def _leave_the_live_one_out(bodies: Bodies) -> None:
    event = _first(bodies, "alternatives.ordered")
    event["order"] = [names for names in event["order"] if "+" in names[0]]


def _leave_one_out(bodies: Bodies) -> None:
    event = _first(bodies, "alternatives.ordered")
    event["order"] = [names for names in event["order"] if not names[0].endswith("+2")]


def _other_words(bodies: Bodies) -> None:
    first, second = (b["event"] for b in bodies if b["event"]["type"] == "alternative.proposed")
    first["payload"], second["payload"] = second["payload"], first["payload"]


def _carried_out(bodies: Bodies) -> None:
    other = _first(bodies, "alternative.proposed")["payload"]
    _first(bodies, "gate.decided")["payload"] = other
    _first(bodies, "step.started")["payload"] = other


def _carried_out_at_the_last_moment(bodies: Bodies) -> None:
    _first(bodies, "step.started")["payload"] = _first(bodies, "alternative.proposed")["payload"]


def _without_a_draw(bodies: Bodies) -> None:
    _first(bodies, "audit.drawn")["audited"] = False


def _ordered_after_it_was_shown(bodies: Bodies) -> None:
    shown = bodies.pop(_at(bodies, "audit.shown"))
    bodies.insert(_at(bodies, "alternatives.ordered"), shown)


def _never_begun(bodies: Bodies) -> None:
    del bodies[_at(bodies, "alternative.started")]


def _call_after_the_end(bodies: Bodies) -> None:
    events = [body["event"] for body in bodies]
    call = next(
        place
        for place, event in enumerate(events)
        if event["type"] == "model.called" and event["alternative"]
    )
    bodies.insert(_at(bodies, "audit.shown"), bodies.pop(call))


def _of_another_segment(bodies: Bodies) -> None:
    for body in bodies:
        if body["event"].get("alternative"):
            body["event"]["alternative"] = body["event"]["alternative"].replace(".1+", ".2+")


@pytest.mark.parametrize(
    "change",
    [
        _reorder,
        _leave_the_live_one_out,
        _leave_one_out,
        _other_words,
        _carried_out,
        _carried_out_at_the_last_moment,
        _without_a_draw,
        _ordered_after_it_was_shown,
        _never_begun,
        _call_after_the_end,
        _of_another_segment,
    ],
)
async def test_a_falsified_comparison_is_found(
    tmp_path: Path, change: Callable[[Bodies], None]
) -> None:
    """The verdict on alternatives is false, though every hash fits."""
    run = await _recorded(tmp_path)
    assert verdicts(tmp_path, run)["alternatives"] is True
    _forge(tmp_path, run, change)
    found = verdicts(tmp_path, run)
    assert found["integrity"] is True
    assert found["alternatives"] is False


def _more_for_another(bodies: Bodies) -> None:
    reward = next(b["event"] for b in bodies if b["event"]["type"] == "reward.issued")
    assert reward["alternative"]
    reward["score"] = reward["value"] = 1.0


def _rewarded_twice(bodies: Bodies) -> None:
    place = _at(bodies, "reward.issued")
    bodies.insert(place, bodies[place])


def _rewarded_without_a_score(bodies: Bodies) -> None:
    _first(bodies, "audit.scored")["scores"] = []


@pytest.mark.parametrize("change", [_more_for_another, _rewarded_twice, _rewarded_without_a_score])
async def test_a_falsified_reward_of_an_alternative_is_found(
    tmp_path: Path, change: Callable[[Bodies], None]
) -> None:
    """Each earns what its place was scored, once, and nothing where it was not."""
    run = await _recorded(tmp_path)
    _forge(tmp_path, run, change)
    assert verdicts(tmp_path, run)["boundary"] is False
