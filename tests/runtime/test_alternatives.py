"""Alternatives: rolled out anew for an audit, shown in the seed's order, rewarded, never done."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from monastery.auditor.seats import PanelAuditor, ranked
from monastery.runtime.cases import compared, shown
from monastery.runtime.cli.alternatives_view import as_dicts, details
from monastery.runtime.credit import advantages
from monastery.runtime.draw import order
from monastery.runtime.exports.preferences import preference_objects
from monastery.runtime.ports import Forkable
from monastery.runtime.records import Answer, Case, Item, Sha256, Vote
from monastery.runtime.store import Store
from monastery.runtime.story import tell
from monastery.runtime.training import training_items
from monastery.runtime.verify import verify
from tests.runtime.world import SetAuditor, Small

pytestmark = pytest.mark.virtual


class Compares:
    """Scores each alternative by the length of its text; approves all."""

    name = "set"

    def __init__(self, *, alone: bool = False) -> None:
        self.cases: list[Case] = []
        self.alone = alone

    async def judge(self, case: Case, box: Forkable) -> Vote:
        """Return a vote on the live one, with the scores of all."""
        self.cases.append(case)
        scores = tuple(len(one.proposal.payload) / 10 for one in case.alternatives)
        score = len(case.proposal.payload) / 10
        return Vote(self.name, "approve", score, scores=() if self.alone else scores)


def proposer(*texts: str, model: bool = False) -> Any:
    """Return an agent of one step: in its n-th life it proposes the n-th text, the last for ever.

    It counts its lives outside of its box, as an agent that samples would differ.
    """
    lives = iter([*texts, *[texts[-1]] * 100])

    async def agent(inside: Any) -> int:
        if inside.history:
            return 0
        text = next(lives)
        inside.files["seen"] = inside.files.get("seen", b"") + text.encode()
        inside.print(f"I think of {text}.")
        if model:
            await inside.model({"ask": text})
        await inside.propose("note", text, f"because of {text}")
        return 0

    return agent


class Echo:
    """A policy that answers what it is asked."""

    name = "echo"

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer."""
        self.asked.append(body)
        return {"said": body["ask"]}


def small(home: Path, agent: Any, auditor: Any, count: int = 3, **more: Any) -> Small:
    """Return a world whose audits compare so many."""
    return Small(home, agent, [auditor], audit={"alternatives": count}, **more)


def verdicts(home: Path, run: str) -> dict[str, bool | None]:
    """Return what verify finds."""
    with Store.open(home) as store:
        return {one.name: one.verdict for one in verify(store, run)}


async def test_an_audit_compares_the_live_proposal_with_rollouts_of_its_moment(
    tmp_path: Path,
) -> None:
    """Three lives propose, the live one alone is done, and each earns its own score."""
    auditor = Compares()
    world = small(tmp_path, proposer("a", "bb", "ccc"), auditor)
    row = world.new()
    assert (await world.live(row)).success
    assert world.notebook.done == [b"a"]
    (case,) = auditor.cases
    assert sorted(one.proposal.payload for one in case.alternatives) == [b"a", b"bb", b"ccc"]
    assert case.alternatives[case.live].proposal.payload == b"a"
    live = f"{row.run}.1"
    earned = {one.alternative or live: one.score for one in world.events("reward.issued")}
    assert earned == {live: 0.1, f"{live}+1": 0.2, f"{live}+2": 0.3}
    assert all(verdicts(tmp_path, row.run)[name] for name in ("alternatives", "boundary", "draws"))


async def test_the_order_is_drawn_from_the_seed_and_recorded_before_it_is_shown(
    tmp_path: Path,
) -> None:
    """Anyone can draw it again; over many runs the live one stands at every place."""
    live_at = set()
    for number in range(12):
        auditor = Compares()
        world = small(tmp_path / str(number), proposer("a", "bb", "ccc"), auditor)
        row = world.new()
        await world.live(row)
        (ordered,) = world.events("alternatives.ordered")
        (frozen,) = world.events("proposal.frozen")
        flat = [name for names in ordered.order for name in names]
        assert flat == order(row.seed, Sha256(frozen.digest), sorted(flat))
        assert world.types.index("alternatives.ordered") < world.types.index("audit.shown")
        live_at.add(auditor.cases[0].live)
    assert live_at == {0, 1, 2}


async def test_rollouts_begin_with_the_files_of_the_boundary(tmp_path: Path) -> None:
    """What the live segment wrote is not there; what the segment before it wrote is."""
    seen = []

    async def agent(inside: Any) -> int:
        if len(inside.history) == 2:
            return 0
        seen.append((len(inside.history), sorted(inside.files)))
        inside.files[f"life-{len(seen)}"] = b"x"
        await inside.propose("note", f"step {len(inside.history)}", "because")
        inside.files["after-the-first"] = b"x"
        seen.append((1, sorted(inside.files)))
        await inside.propose("note", "step 1", "because")
        return 0

    world = small(tmp_path, agent, Compares(), count=2)
    await world.live(world.new())
    assert seen == [
        (0, []),
        (0, []),  # the first step's rollout: without `life-1`
        (1, ["after-the-first", "life-1"]),
        (1, ["life-1"]),  # the second's: with what the first segment left, without the second's
    ]


async def test_people_are_not_shown_which_one_is_live(tmp_path: Path) -> None:
    """What goes to a desk has every alternative alike, and nothing of the live one alone."""
    auditor = Compares()
    world = small(tmp_path, proposer("a", "bb"), auditor, count=2)
    await world.live(world.new())
    (case,) = auditor.cases
    put = compared(case)
    assert {len(one) for one in put["alternatives"]} == {len(put["alternatives"][0])}
    told = {key: value for key, value in put.items() if key != "alternatives"}
    hidden = ("because of", case.proposal.digest, shown(case)["payload_base64"])
    assert not [one for one in hidden if one in repr(told)]


async def test_equal_proposals_are_shown_once_and_earn_the_same(tmp_path: Path) -> None:
    """Two of three rollouts propose one text: two places, one of which says that two made it."""
    auditor = Compares()
    world = small(tmp_path, proposer("a", "bb", "bb"), auditor)
    row = world.new()
    await world.live(row)
    (case,) = auditor.cases
    assert {one.proposal.payload: len(one.names) for one in case.alternatives} == {
        b"a": 1,
        b"bb": 2,
    }
    assert sorted(one.score for one in world.events("reward.issued")) == [0.1, 0.2, 0.2]
    assert verdicts(tmp_path, row.run)["alternatives"]


async def test_a_deterministic_agent_is_audited_as_before(tmp_path: Path) -> None:
    """All propose the same: the case has no alternatives, and all earn what the one scored."""
    auditor = Compares()
    world = small(tmp_path, proposer("a"), auditor)
    row = world.new()
    await world.live(row)
    assert auditor.cases[0].alternatives == ()
    assert [one.score for one in world.events("reward.issued")] == [0.1, 0.1, 0.1]
    assert verdicts(tmp_path, row.run)["boundary"]


async def test_an_auditor_who_judges_the_live_one_alone_leaves_the_others_unmeasured(
    tmp_path: Path,
) -> None:
    """No score is no reward, which is not 0; the live one earns as ever."""
    world = small(tmp_path, proposer("a", "bb"), Compares(alone=True), count=2)
    row = world.new()
    await world.live(row)
    assert [one.alternative for one in world.events("reward.issued")] == [None]
    with Store.open(tmp_path) as store:
        scores = [item.earned.score for item in training_items(store, row.run)]
    assert scores[:2] == [0.1, None]


async def test_a_rollout_without_a_proposal_is_absent_and_says_why(tmp_path: Path) -> None:
    """It ends, its box dies, or it thinks for too long: recorded, not shown, not a 0."""
    lives = []

    async def agent(inside: Any) -> int:
        if inside.history:
            return 0
        lives.append(1)
        if len(lives) == 2:
            return 7
        if len(lives) == 3:
            await inside.die()
        if len(lives) == 4:
            await inside.sleep(1e6)
        await inside.propose("note", "a" * len(lives), "because")
        return 0

    auditor = Compares()
    world = small(tmp_path, agent, auditor, count=5)
    row = world.new()
    await world.live(row)
    reasons = [one.reason for one in world.events("alternative.ended")]
    assert [
        word in reason for word, reason in zip(("code 7", "died", "longer"), reasons, strict=True)
    ]
    assert sorted(len(one.proposal.payload) for one in auditor.cases[0].alternatives) == [1, 5]
    assert len(world.events("reward.issued")) == 2
    assert verdicts(tmp_path, row.run)["alternatives"]


async def test_an_unaudited_step_is_not_rolled_out(tmp_path: Path) -> None:
    """Rollouts cost thinking: none without the draw."""
    world = small(tmp_path, proposer("a", "bb"), Compares(), rate=0.0)
    await world.live(world.new())
    assert len(world.sandbox.boxes) == 1
    assert not world.events("alternatives.ordered")


async def test_model_calls_of_a_rollout_are_its_own_and_count_in_the_budget(
    tmp_path: Path,
) -> None:
    """Each segment's item has its own calls; the run's budget knows of all."""
    world = small(tmp_path, proposer("a", "bb", "ccc", model=True), Compares(), policy=Echo())
    row = world.new()
    await world.live(row)
    with Store.open(tmp_path) as store:
        items = list(training_items(store, row.run))
    moment = [item for item in items if item.index == 1]
    assert [item.live for item in moment] == [True, False, False]
    assert {item.moment for item in moment} == {f"{row.run}.1"}
    said = [[answer.response["said"] for answer in item.trainable.answers] for item in moment]
    assert said == [["a"], ["bb"], ["ccc"]]
    assert [item.trainable.proposal["payload"]["text"] for item in moment] == ["a", "bb", "ccc"]
    assert [item.trainable.printed["text"].strip() for item in moment][1] == "I think of bb."
    wanted = [-0.15, 0.0, 0.15]
    assert advantages([item.earned for item in moment]) == pytest.approx(wanted)
    pairs = list(preference_objects(items))
    ranked = {(pair["score_chosen"], pair["score_rejected"]) for pair in pairs}
    assert ranked == {(0.3, 0.1), (0.2, 0.1), (0.3, 0.2)}
    assert {pair["group_id"] for pair in pairs} == {f"{row.run}:{row.run}.1"}


@pytest.mark.parametrize(
    "after",
    [
        "audit.drawn",
        "alternative.started",
        "alternative.proposed",
        "alternatives.ordered",
        "audit.shown",
    ],
)
async def test_a_crash_in_the_middle_rolls_out_only_what_is_not_recorded(
    tmp_path: Path, after: str
) -> None:
    """What is recorded stays, the rest begins anew; the order is one, and so are the rewards."""

    class Crash(BaseException):
        pass

    auditor = Compares()
    world = small(tmp_path, proposer("a", "bb", "ccc", "dddd"), auditor)
    row = world.new()
    crashed = []

    def watch(record: Any) -> None:
        if record.event.type == after and not crashed:
            crashed.append(record)
            raise Crash

    world.watch = watch
    with pytest.raises(BaseException):  # noqa: B017, PT011 - a group around ours
        await world.live(row)
    assert crashed
    await world.live(world.claim(row.run))
    assert len(world.events("alternatives.ordered")) == 1
    names = [one.alternative for one in world.events("alternative.proposed")]
    assert sorted(names) == [f"{row.run}.1+1", f"{row.run}.1+2"]
    assert len(world.events("reward.issued")) == 3
    assert world.notebook.done == [b"a"]
    found = verdicts(tmp_path, row.run)
    assert False not in found.values()


async def test_what_a_rollout_did_before_a_stop_is_in_no_item(tmp_path: Path) -> None:
    """It led to no proposal: its call stays in the record and the budget, and teaches nothing."""

    class Crash(BaseException):
        pass

    world = small(
        tmp_path, proposer("a", "bb", "ccc", model=True), Compares(), count=2, policy=Echo()
    )
    row = world.new()
    crashed = []

    def watch(record: Any) -> None:
        if getattr(record.event, "alternative", None) and record.event.type == "model.called":
            crashed.append(record)
            if len(crashed) == 1:
                raise Crash

    world.watch = watch
    with pytest.raises(BaseException):  # noqa: B017, PT011 - a group around ours
        await world.live(row)
    await world.live(world.claim(row.run))
    with Store.open(tmp_path) as store:
        items = [item for item in training_items(store, row.run) if not item.live]
    assert [[one.response["said"] for one in item.trainable.answers] for item in items] == [["ccc"]]
    assert len(world.events("model.called")) == 3
    assert verdicts(tmp_path, row.run)["alternatives"]


async def test_one_auditor_of_two_who_judges_the_live_one_alone_leaves_the_others_unmeasured(
    tmp_path: Path,
) -> None:
    """Scores of one person are not compared with the means of two."""
    world = small(tmp_path, proposer("a", "bb"), Compares(), count=2)
    world.auditors = [*world.auditors, SetAuditor(Vote("alone", "approve", 0.9), name="alone")]
    row = world.new()
    assert (await world.live(row)).success
    earned = [(one.alternative, one.score) for one in world.events("reward.issued")]
    assert earned == [(None, pytest.approx(0.5))]
    assert verdicts(tmp_path, row.run)["boundary"]


async def test_without_a_copy_of_the_boundary_the_live_one_is_audited_alone(
    tmp_path: Path,
) -> None:
    """A copy that failed, or was lost, costs the comparison and not the run."""
    auditor = Compares()
    world = small(tmp_path, proposer("a", "bb"), auditor)

    def watch(record: Any) -> None:
        if record.event.type == "proposal.frozen":
            world.sandbox.moments.clear()

    world.watch = watch
    assert (await world.live(world.new())).success
    assert auditor.cases[0].alternatives == ()
    assert ["no copy" in one.reason for one in world.events("alternative.ended")] == [True, True]


async def test_a_deferred_audit_compares_nothing(tmp_path: Path) -> None:
    """The project is refused in one line that says the mend."""
    world = small(tmp_path, proposer("a"), SetAuditor(Vote("set", "approve", 1.0)))
    world.audit["mode"] = "deferred"
    with pytest.raises(ValidationError, match="deferred audit compares nothing; write 1"):
        _ = world.loaded


@pytest.mark.parametrize(("compares", "earned"), [("means", (0.15, 0.25)), ("ranks", None)])
async def test_a_panels_scores_of_each_proposal_are_its_members_means_or_ranks(
    tmp_path: Path, compares: Any, earned: tuple[float, float] | None
) -> None:
    """Two people compare, each alone; what each says of a proposal becomes one score for it."""

    class People:
        """Answers as one person after the other; the second scores a tenth higher."""

        def __init__(self) -> None:
            self.asked: list[Item] = []

        async def ask(self, item: Item) -> Answer:
            """Score each proposal by the length of its text."""
            self.asked.append(item)
            more = (len(self.asked) - 1) / 10
            given = [
                {"decision": "approve", "score": len(one["rendering"]) / 10 + more}
                for one in item.body["alternatives"]
            ]
            body = {"alternatives": given, "digest": item.body["digest"]}
            return Answer(item.id, f"person {len(self.asked)}", datetime.now(UTC), body)

        async def withdraw(self, prefix: str) -> None:
            """Nothing waits."""

    panel = PanelAuditor("two", 2, 0.5, 60.0, People(), compares=compares)
    world = small(tmp_path, proposer("a", "bb"), panel, count=2)
    await world.live(world.new())
    scores = {one.alternative is None: one.score for one in world.events("reward.issued")}
    wanted = earned or ranked([(0.0, 1.0), (0.0, 1.0)])  # both rank the longer text first
    assert (scores[True], scores[False]) == pytest.approx(wanted)
    assert scores[True] < scores[False]


def test_ranks_know_the_order_and_nobodys_scale() -> None:
    """A mild and a harsh judge with one order come to the same; ties are half each way."""
    assert ranked([(0.9, 0.8, 0.7)]) == pytest.approx(ranked([(0.3, 0.2, 0.0)]))
    assert ranked([(0.5, 0.5)]) == pytest.approx((0.5, 0.5))
    first, second, third = ranked([(0.9, 0.8, 0.7), (0.9, 0.1, 0.3)])
    assert first > second == pytest.approx(third)


async def test_show_tells_each_rollout_and_where_the_live_one_stood(tmp_path: Path) -> None:
    """As lines and as JSON: what each proposed, what it earned, why one is absent."""
    world = small(tmp_path, proposer("a", "bb", "ccc"), Compares())
    row = world.new()
    await world.live(row)
    with Store.open(tmp_path) as store:
        told = tell(store, row.run).segments[0]
        lines = dict(details(told, lambda ref: store.blob(ref.ref), content=True))
        body = as_dicts(told, lambda ref: ref and store.blob(ref.ref).decode())
    assert "reward 0.30 = 0.30 / 1" in lines["rollout"]
    assert lines["rollout"].endswith("\nccc")
    assert lines["compared"].startswith("3 proposals")
    assert body is not None
    assert [one["payload"] for one in body["rollouts"]] == ["bb", "ccc"]
    assert [one["score"] for one in body["rollouts"]] == [0.2, 0.3]
