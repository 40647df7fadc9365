"""Camera Dropbox computed twice: tables against a simulator that reads like the rules."""

import numpy as np
import pytest
from camera.approval import Approval, errors, noisy
from camera.outcome import outcome
from camera.planning import plans
from camera.question import Question, answer
from camera.world import GONE, Size, World
from hypothesis import given
from hypothesis import strategies as st

from tests.examples.camera_slowly import STEPS, Slowly, State

SIZES = [(3, 4, 2, 1), (4, 3, 2, 1), (3, 3, 1, 1), (4, 4, 2, 1), (4, 4, 2, 2), (2, 5, 3, 2)]
SIZES += [(4, 4, 2, 0), (3, 4, 3, 1), (3, 4, 3, 3)]


def _named(world: World, state: int) -> State:
    """Return a state of the tables as the simulator calls it."""
    if state == world.ended:
        return None
    cols = world.size.cols
    boxes = (divmod(int(box), cols) for box in world.boxes[state] if box != GONE)
    return divmod(int(world.agent[state]), cols), frozenset(boxes)


@pytest.mark.parametrize("numbers", SIZES)
def test_every_move_in_every_state(numbers: tuple[int, int, int, int]) -> None:
    """States, transitions, rewards and starts are the same, one by one."""
    world, slowly = World(Size(*numbers)), Slowly(*numbers)
    names = [_named(world, state) for state in range(world.ended + 1)]
    assert len(names) == world.size.states
    assert set(names) == set(slowly.states())
    for state, name in enumerate(names):
        assert world.observed[state] == pytest.approx(slowly.observed(name))
        assert world.true[state] == pytest.approx(slowly.true(name))
        for column, action in enumerate(STEPS):
            reached = names[world.after[state, column]]
            assert reached == slowly.after(name, action), (name, action)
    assert {names[start] for start in world.starts} == set(slowly.starts())


LITTLE = [((3, 4, 2, 1, 12), name) for name in ("none", "good", "observed", "blend:0.3")]
LITTLE += [((4, 4, 1, 1, 8), "good"), ((3, 4, 2, 2, 10), "observed"), ((4, 3, 2, 0, 10), "good")]


@pytest.mark.parametrize(("numbers", "approval"), LITTLE)
def test_every_horizon_by_the_definition(
    numbers: tuple[int, int, int, int, int], approval: str
) -> None:
    """Shares and returns are those of the definition, state by state, with ties shared."""
    *size, steps = numbers
    world, slowly = World(Size(*size)), Slowly(*size)
    true, observed = slowly.best(slowly.true, steps), slowly.best(slowly.observed, steps)
    weight = {"good": 0.0, "observed": 1.0, "blend:0.3": 0.3}.get(approval)

    def value(t: int, state: State) -> float:
        if weight is None:
            return 0.0
        return weight * observed(t, state) + (1 - weight) * true(t, state)

    horizons = (0, 1, 5, steps)
    question = Question(Size(*size), horizons, Approval.parse(approval), steps=steps)
    for row in answer(question, world):
        expected = slowly.outcome(slowly.policy(row["horizon"], value, steps), steps)
        assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-9), row


def test_noise_by_the_definition() -> None:
    """With an overseer that errs, the same plans come out of the definition."""
    steps, size = 10, Size(3, 4)
    world, slowly = World(size), Slowly(3, 4, 2)
    error = errors(world, 0.3, seed=1)
    named = {_named(world, state): error[state] for state in range(world.ended + 1)}
    true = slowly.best(slowly.true, steps)

    def value(t: int, state: State) -> float:
        plain = true(t, state)
        return plain + named[state] if abs(plain) > 1e-5 else plain

    good = Approval.parse("good").values(world, steps)
    for horizon, plan in plans(world, noisy(good, error), [1, 3, 10]):
        found = vars(outcome(world, plan, steps))
        expected = slowly.outcome(slowly.policy(horizon, value, steps), steps)
        assert found == pytest.approx(expected, abs=1e-9)


def test_iterated_approval_by_the_definition() -> None:
    """Each round approves of what the last one earns in observed reward."""
    steps, rounds = 12, 3
    slowly = Slowly(3, 4, 2)
    question = Question(Size(3, 4), (1, 2), steps=steps, rounds=rounds)
    rows = answer(question)
    assert [(row["horizon"], row["round"]) for row in rows] == [
        (horizon, number) for horizon in (1, 2) for number in range(1, rounds + 1)
    ]
    for horizon in (1, 2):
        value = slowly.best(slowly.true, steps)
        for row in (row for row in rows if row["horizon"] == horizon):
            policy = slowly.policy(horizon, value, steps)
            expected = slowly.outcome(policy, steps)
            assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-9)
            value = slowly.earned(policy, steps)


@given(st.integers(0, 1936), st.lists(st.integers(0, 3), max_size=60))
def test_whatever_is_done(start: int, actions: list[int]) -> None:
    """Boxes only ever vanish, one at a time and after the hole; nothing leaves the end."""
    world = WORLD
    state = start
    for action in actions:
        before, state = state, int(world.after[state, action])
        if state == world.ended:
            assert before == world.ended or world.in_hole[before]
            continue
        assert world.left[state] == world.left[before] - world.in_hole[before]
        cells = [cell for cell in world.boxes[state] if cell != GONE]
        assert len({*cells, world.agent[state]}) == len(cells) + 1
        moved = abs(np.array(divmod(world.agent[state], 4)) - divmod(world.agent[before], 4))
        assert moved.sum() <= 1


def test_the_agent_does_not_block_the_camera() -> None:
    """It stands in the line of sight, and the episode ends all the same."""
    world = WORLD
    seen = world.find(".... / .... / .... / B.A.")
    assert (world.after[seen] == world.ended).all()
    blind = world.find(".... / .... / .... / BAB.")
    assert (world.after[blind] != world.ended).all()
    assert (world.left[world.after[blind]] == 1).all()


WORLD = World(Size())
