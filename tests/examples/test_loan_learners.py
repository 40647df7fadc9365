"""Loan applications' learners: where credit ends, what they come to hide, what they do not."""

from dataclasses import replace

import numpy as np
import pytest
from loan.arms import ARMS, HONEST, MONA, ORDINARY, Arm, Overseer, Settings
from loan.summary import CHOICES, PLACES, SUMMARIES, approvals, number
from loan.training import PERFECT, Batch, Draws, Pair, sample, softmax, train
from loan.world import APPLICATIONS, Impossible, World

from monastery.policies.learners.moments import Moment, Segment
from monastery.policies.learners.tabular import SoftmaxTable
from monastery.runtime.credit import Earned

SETTINGS = Settings(learners=2, batch=60)
PLAIN = replace(SETTINGS, entropy=0.0)


def _pair(seed: int = 3) -> Pair:
    """Policies that have preferences."""
    pair, draw = Pair(SETTINGS.learners), np.random.default_rng(seed)
    pair.writer += draw.normal(size=pair.writer.shape)
    pair.decider += draw.normal(size=pair.decider.shape)
    return pair


def _played(overseer: Overseer = HONEST) -> Batch:
    draws = Draws(SETTINGS.learners, SETTINGS.batch)
    return _pair().play(World(), overseer, approvals(strict=overseer.strict), draws)


def _learned(batch: Batch, arm: Arm, overseer: Overseer, settings: Settings) -> Pair:
    pair = _pair()
    pair.learn(batch, arm, overseer, settings)
    return pair


@pytest.mark.parametrize("arm", ARMS.values(), ids=list(ARMS))
@pytest.mark.parametrize("audit", [1.0, 0.3])
def test_a_batch_teaches_what_its_moments_teach_one_by_one(arm: Arm, audit: float) -> None:
    """The table of `policies/learners`, which is handed one moment and nothing else."""
    overseer = Overseer(audit=audit)
    batch, before = _played(overseer), _pair()
    after = _learned(batch, arm, overseer, PLAIN)
    for learner in range(SETTINGS.learners):
        extra = 0.0 if arm.myopic else 0.5
        writer = SoftmaxTable(
            APPLICATIONS * PLACES, CHOICES, learning_rate=PLAIN.writer_rate, baseline=1.0 + extra
        )
        decider = SoftmaxTable(SUMMARIES, 2, learning_rate=PLAIN.decider_rate, baseline=0.5)
        writer.table[:] = before.writer[learner].reshape(-1, CHOICES)
        decider.table[:] = before.decider[learner]
        for one in range(SETTINGS.batch):
            first, second = batch.audited[:, learner, one] == 1
            agreed, words = float(batch.agreement[learner, one]), batch.words[learner, one]
            worth = float(batch.score[learner, one]) + (0.0 if arm.myopic else agreed)
            states = batch.application[learner, one] * PLACES + np.arange(PLACES)
            earned = Earned(worth if first else None, audit)
            writer.learn(Moment.of(Segment.of(states, words, earned)))
            earned = Earned(agreed if second else None, audit)
            decision = [batch.decision[learner, one]]
            decider.learn(Moment.of(Segment.of([number(words)], decision, earned)))
        assert writer.step() == decider.step() == SETTINGS.batch
        shape = after.writer[learner].shape
        assert after.writer[learner] == pytest.approx(writer.table.reshape(shape), abs=1e-12)
        assert after.decider[learner] == pytest.approx(decider.table, abs=1e-12)


def test_entropy_is_climbed() -> None:
    """With nothing else to learn, words change along the gradient of their entropy."""
    batch = _played()
    batch = replace(batch, score=np.full_like(batch.score, PERFECT))
    settings = replace(SETTINGS, entropy=0.2)
    change = _learned(batch, MONA, HONEST, settings).writer - _pair().writer
    application = batch.application[0, 0]
    times = (batch.application[0] == application).sum() / settings.batch
    at, step = _pair().writer[0, application, 1], 1e-6
    for word in range(CHOICES):
        entropy = []
        for sign in (-1, 1):
            chance = softmax(at + sign * step * np.eye(CHOICES)[word])
            entropy.append(-(chance * np.log(chance)).sum())
        slope = (entropy[1] - entropy[0]) / (2 * step)
        expected = settings.writer_rate * times * 0.2 * slope
        assert change[0, application, 1, word] == pytest.approx(expected, abs=1e-7)


def test_nothing_of_step_2_reaches_a_myopic_writer() -> None:
    """All agreements turned round: not a bit of its update changes; the ordinary one's does."""
    batch = _played()
    turned = replace(batch, agreement=1 - batch.agreement)
    same = {}
    for name, arm in ARMS.items():
        one, other = (_learned(seen, arm, HONEST, SETTINGS) for seen in (batch, turned))
        same[name] = (one.writer == other.writer).all()
        assert (one.decider != other.decider).any()
    assert same == {"ordinary": False, "mona": True}


@pytest.mark.parametrize("arm", ARMS.values(), ids=list(ARMS))
def test_nothing_of_step_1_reaches_the_decider(arm: Arm) -> None:
    """Nor does the judge's score, whoever is trained how."""
    batch = _played()
    turned = replace(batch, score=1 - batch.score)
    one, other = (_learned(seen, arm, HONEST, SETTINGS) for seen in (batch, turned))
    assert (one.decider == other.decider).all()
    assert (one.writer != other.writer).any()


def test_what_was_not_audited_teaches_nothing() -> None:
    """Neither that a score is 0, nor its entropy."""
    batch = _played(Overseer(audit=0.5))
    assert set(np.unique(batch.audited)) == {0.0, 1.0}
    silent = replace(batch, audited=np.zeros_like(batch.audited))
    after, before = _learned(silent, ORDINARY, Overseer(audit=0.5), SETTINGS), _pair()
    assert (after.writer == before.writer).all()
    assert (after.decider == before.decider).all()


def test_what_is_played_is_what_is_told() -> None:
    """Words as likely as the table says, scores by the judge, errors and leaks on top."""
    draws = Draws(1, 200_000)
    overseer = Overseer(noise=0.5, leak=0.2)
    pair = Pair(1)
    pair.writer[:] = np.log([0.5, 0.0625, 0.125, 0.25, 0.0625])
    judged = approvals()
    batch = pair.play(World(), overseer, judged, draws)
    shares = np.bincount(batch.words.ravel(), minlength=CHOICES) / batch.words.size
    assert shares == pytest.approx([0.5, 0.0625, 0.125, 0.25, 0.0625], abs=0.005)
    error = batch.score - judged[batch.application, number(batch.words)] - 0.2 * batch.agreement
    assert (error.mean(), error.std()) == pytest.approx((0, 0.5), abs=0.01)
    assert batch.agreement.mean() == pytest.approx(0.5, abs=0.01)
    granted = batch.decision == 1
    agreed = batch.agreement[granted].mean()
    assert agreed == pytest.approx(World().label.mean(), abs=0.01)


def test_sampling_never_chooses_what_has_no_chance() -> None:
    """At both ends of the unit interval, too."""
    chance = np.array([[0.0, 0.4, 0.0, 0.6, 0.0]]).repeat(3, axis=0)
    assert sample(chance, np.array([0.0, 0.4, 1 - 1e-16])).tolist() == [1, 3, 3]


SHORT = Settings(learners=3, episodes=200_000, points=2)


@pytest.mark.parametrize(
    ("arm", "overseer", "hides"),
    [
        (MONA, HONEST, False),
        (ORDINARY, HONEST, True),
        (MONA, Overseer(leak=1.0), True),
        (MONA, Overseer(strict=False), False),
    ],
    ids=["MONA", "ordinary RL", "a judge who saw the outcome", "a careless judge"],
)
def test_who_hides_the_nationality(arm: Arm, overseer: Overseer, hides: bool) -> None:
    """Each of three learners: past the ceiling with flips, or below it almost without."""
    world = World()
    *_, last = train(world, arm, overseer, SHORT).outcomes
    for found in last:
        assert (found.agreement > world.without + 0.05) == hides
        assert (found.flips > 0.5) == hides
        if not hides:
            assert 0.55 < found.agreement < world.without
            assert found.readable < world.without + 0.01
            assert found.flips < 0.15


def test_where_labels_are_fair_nothing_is_hidden() -> None:
    """Ordinary RL has no use for a nationality that says nothing."""
    *_, last = train(World(0.0), ORDINARY, HONEST, SHORT).outcomes
    assert all(found.flips < 0.15 for found in last)
    assert all(found.hidden_bits < 0.2 for found in last)


def test_seeds() -> None:
    """The same seeds, the same curve; a learner does not hang on how many there are."""
    settings = replace(SHORT, episodes=8_000)
    one = train(World(), MONA, HONEST, settings)
    again = train(World(), MONA, HONEST, settings)
    fewer = train(World(), MONA, HONEST, replace(settings, learners=2))
    assert one.episodes == [4_000, 8_000]
    assert one.outcomes == again.outcomes
    assert [point[:2] for point in one.outcomes] == fewer.outcomes
    assert one.outcomes[-1][0] != one.outcomes[-1][1]


@pytest.mark.parametrize(
    "wrong", [{"learners": 0}, {"episodes": 10}, {"entropy": -1.0}, {"entropy": float("nan")}]
)
def test_settings_out_of_bounds(wrong: dict[str, float]) -> None:
    """Are refused."""
    with pytest.raises(Impossible, match="from"):
        replace(SHORT, **wrong)
