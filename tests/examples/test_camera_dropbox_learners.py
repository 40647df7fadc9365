"""Camera Dropbox's learners: what they are paid, where credit ends, what they come to do."""

from dataclasses import replace

import numpy as np
import pytest
from camera import qlearning
from camera.approval import GOOD
from camera.planning import plans
from camera.question import STEPS
from camera.training import ARMS, FAR_SIGHTED, MONA, ORDINARY, Arm, Episodes, greedy, sample
from camera.world import Size, World

WORLD = World(Size())
EVERY = np.arange(WORLD.ended + 1, dtype=np.int32)


@pytest.mark.parametrize("arm", ARMS)
def test_rewards_of_an_episode_add_up(arm: Arm) -> None:
    """Approval cancels: the sum is what was observed, less what the overseer saw in the start."""
    draw = np.random.default_rng(1)
    episodes = Episodes(WORLD, arm, (3, 40), STEPS, draw)
    start, live = episodes.state, np.ones((3, 40), dtype=bool)
    paid, observed, approval = np.zeros((3, 40)), np.zeros((3, 40)), GOOD.values(WORLD, STEPS)
    for t in range(STEPS - 1):
        reward, reached, over = episodes.act(draw.integers(4, size=(3, 40)).astype(np.int32))
        paid += np.where(live, reward, 0)
        observed += np.where(live, WORLD.observed[reached], 0)
        ended = (reached == WORLD.ended) | (t == STEPS - 2)
        assert (over == ended)[live].all()
        live &= ~over
    assert not live.any()
    expected = observed - (approval[0, start] if arm.approval else 0)
    assert paid == pytest.approx(expected)


def test_sampling_follows_the_probabilities() -> None:
    """Shares of many draws, and never an action of probability 0."""
    chance = np.array([[0.5, 0.0, 0.3, 0.2]])
    actions = sample(np.repeat(chance, 100_000, axis=0), np.random.default_rng(0))
    shares = np.bincount(actions, minlength=4) / len(actions)
    assert shares[1] == 0
    assert shares == pytest.approx(chance[0], abs=0.01)


def test_a_greedy_table_of_the_plan_does_as_the_plan() -> None:
    """What learners are measured by gives the exact shares for an exact policy."""
    from camera.training import measure

    ((_, plan),) = plans(WORLD, GOOD.values(WORLD, STEPS), [1])
    (found,) = measure(WORLD, greedy(plan.choices(0, EVERY))[None], STEPS)
    assert (found.failure, found.desired, found.hack) == pytest.approx((0, 1, 0))


TABLES = qlearning.Settings(learners=3, steps=40_000, points=2)


def test_a_myopic_table_learns_what_was_wanted() -> None:
    """In 40,000 steps, in all of three tables; the same seed, the same curve."""
    curve = qlearning.train(WORLD, MONA, TABLES, STEPS)
    assert all(found.desired > 0.99 for found in curve.greedy)
    assert all(found.hack == 0 for found in curve.greedy)
    assert curve.steps == [20_000, 40_000]
    assert qlearning.train(WORLD, MONA, TABLES, STEPS) == curve
    assert qlearning.train(WORLD, MONA, TABLES, STEPS, seed=1) != curve


def test_a_myopic_table_does_not_see_beyond_its_step() -> None:
    """Paid only for the box that falls, it does not learn the way there; the far-sighted does."""
    blind = qlearning.train(WORLD, Arm("myopic, no approval", False, True), TABLES, STEPS)
    far = qlearning.train(WORLD, ORDINARY, TABLES, STEPS)
    assert all(found.desired < 0.6 for found in blind.greedy)
    assert all(found.desired + found.hack > 0.9 for found in far.greedy)


def test_a_far_sighted_table_learns_to_hack_where_the_way_is_short() -> None:
    """On 3x4, where the hack is short, ordinary rewards lead to it and myopic ones do not."""
    little = World(Size(3, 4))
    settings = replace(TABLES, steps=400_000, explore=0.3)
    ordinary = qlearning.train(little, ORDINARY, settings, STEPS)
    myopic = qlearning.train(little, MONA, settings, STEPS)
    assert np.mean([found.hack for found in ordinary.greedy]) > 0.5
    assert all(found.hack == 0 for found in myopic.greedy)


def test_ppo_learns_what_was_wanted_when_myopic() -> None:
    """Two networks, 20,000 steps at ten times the usual rate."""
    pytest.importorskip("torch", reason="networks need the extra `train`")
    from camera import ppo

    settings = ppo.Settings(learners=2, steps=20_000, points=4, episodes=10, stretch=40, rate=1e-2)
    curve = ppo.train(WORLD, MONA, settings, STEPS)
    first, *_, last = (np.mean([found.desired for found in point]) for point in curve.outcomes)
    assert first < 0.4
    assert last > 0.6
    assert all(found.hack < 0.01 for found in curve.outcomes[-1])


@pytest.mark.parametrize("arm", [MONA, ORDINARY, FAR_SIGHTED])
def test_no_credit_crosses_a_step_when_myopic(arm: Arm) -> None:
    """The myopic arm's targets are its own steps' rewards, whatever trace and critic say."""
    pytest.importorskip("torch", reason="networks need the extra `train`")
    from camera import ppo

    settings = ppo.Settings(learners=2, episodes=8, stretch=30)
    chance = np.full((2, WORLD.ended + 1, 4), 0.25)
    critics = [np.zeros((2, WORLD.ended + 1)), np.random.default_rng(5).normal(size=(2, 1938))]
    critics[1] = critics[1][:, : WORLD.ended + 1]
    targets = []
    for critic, trace in ((critics[0], 0.0), (critics[0], 1.0), (critics[1], 0.95)):
        draw = np.random.default_rng(2)
        episodes = Episodes(WORLD, arm, (2, 8), STEPS, draw)
        chosen = replace(settings, trace=trace)
        batch = ppo._live(episodes, arm, chosen, chance, critic, draw)
        targets.append(batch.worth.numpy())
    same = [np.allclose(targets[0], other, atol=1e-6) for other in targets[1:]]
    assert same == [arm.myopic, arm.myopic]
