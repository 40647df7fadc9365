"""Tables: exact enough to be held to the definition."""

import itertools

import numpy as np
import pytest

from monastery.policies.learners.boundary import LearnerSubject, check_boundary
from monastery.policies.learners.learner import Update
from monastery.policies.learners.moments import Moment, Segment
from monastery.policies.learners.rehearsal import Kind
from monastery.policies.learners.tabular import QTable, SoftmaxTable
from monastery.runtime.credit import Earned
from monastery.runtime.errors import BadInput


def test_on_average_over_choices_and_draws_it_is_the_gradient_of_the_expected_score() -> None:
    """Two moments, audited with different probabilities: everything that may happen is enumerated.

    The objective is the sum of what each moment is expected to score, over the number of moments.
    """
    learner = SoftmaxTable(2, 2, baseline=0.3)
    learner.table[:] = [[0.2, -0.1], [0.5, 0.0]]
    score = np.array([[0.9, 0.2], [0.1, 0.6]])  # of each action in each state
    probability = (0.5, 0.02)
    chances = np.stack([learner.chances(0), learner.chances(1)])
    expected = np.zeros((2, 2))
    for actions in itertools.product((0, 1), repeat=2):
        for drawn in itertools.product((False, True), repeat=2):
            weight = 1.0
            for state in (0, 1):
                audited = probability[state] if drawn[state] else 1.0 - probability[state]
                weight *= chances[state, actions[state]] * audited
                found = float(score[state, actions[state]]) if drawn[state] else None
                earned = Earned(found, probability[state])
                learner.learn(Moment.of(Segment.of([state], [actions[state]], earned)))
            learner.gather()
            expected += weight * learner.gradient()[0]
    mean = (chances * score).sum(axis=1, keepdims=True)
    assert expected == pytest.approx(chances * (score - mean) / 2)


def test_alternatives_of_a_moment_share_its_place() -> None:
    """Two that were audited count as one moment, and are compared with each other."""
    learner = SoftmaxTable(1, 2, baseline=100.0)
    segments = [Segment.of([0], [one], Earned(score)) for one, score in ((0, 0.2), (1, 0.8))]
    update = learner.learn(Moment(tuple(segments)))
    assert update.advantages == pytest.approx((-0.6, 0.6))
    assert learner.gather() == 1
    assert learner.gradient()[0] == pytest.approx(np.array([[-0.3, 0.3]]))


def test_nothing_is_expected_after_a_boundary() -> None:
    """A state that leads to riches in the next segment is worth what its own segment earns."""
    learner = QTable(3, 2, learning_rate=0.5, discount=0.9)
    poor = Moment.of(Segment.of([0, 1], [1, 0], Earned(0.2), rewards=[0.1, 0.1]))
    rich = Moment.of(Segment.of([2], [1], Earned(1.0)))
    for _ in range(200):
        learner.begin()
        learner.learn(poor)
        learner.learn(rich)
        assert learner.step() == 2
    assert learner.table[2, 1] == pytest.approx(1.0)
    assert learner.table[1, 0] == pytest.approx(0.1)
    assert learner.table[0, 1] == pytest.approx(0.1 + 0.9 * 0.1)
    assert [learner.best(state) for state in range(3)] == [1, 0, 1]


@pytest.mark.parametrize("learner", [SoftmaxTable, QTable])
def test_tables_pass_the_boundary_check(learner: type[SoftmaxTable]) -> None:
    """By their gradients: there are no logits or states to watch."""

    def make() -> LearnerSubject:
        made = learner(5, 3)
        made.table[:] = np.random.default_rng(1).normal(size=(5, 3))
        return LearnerSubject(made, Kind(3, inputs=5, moments=3))

    findings = {one.name: one.verdict for one in check_boundary(make)}
    assert [name for name, verdict in findings.items() if verdict is None] == [
        "watched",
        "credit",
        "past",
    ]
    assert False not in findings.values()


class Retroactive(SoftmaxTable):
    """Rewards the last action of the segment before for what this one earns."""

    last: tuple[int, int] | None = None

    def learn(self, moment: Moment) -> Update:
        """Learn, and look back."""
        update = super().learn(moment)
        (segment,) = moment.alternatives
        if self.last is not None and segment.earned.score is not None:
            self._sum[self.last] += segment.earned.score
        self.last = int(segment.inputs[-1]), int(segment.actions[-1])
        return update


def test_a_table_that_looks_back_over_the_boundary_is_caught() -> None:
    """There is no logit to watch; but actions of another segment do not concern this one's."""

    def make() -> LearnerSubject:
        made = Retroactive(5, 3)
        made.table[:] = np.random.default_rng(1).normal(size=(5, 3))
        return LearnerSubject(made, Kind(3, inputs=5, moments=3))

    failed = {one.name for one in check_boundary(make) if one.verdict is False}
    assert failed == {"choices"}


@pytest.mark.parametrize(
    ("segment", "said"),
    [
        (Segment.of([5], [0], Earned(0.5)), "not in this table of 5 states and 3 actions"),
        (Segment.of([0], [3], Earned(0.5)), "not in this table of 5 states and 3 actions"),
        (Segment.of([[0.5]], [0], Earned(0.5)), "a table reads numbers of states"),
    ],
)
def test_what_is_not_in_the_table_is_refused(segment: Segment, said: str) -> None:
    """One line says what is."""
    for learner in (SoftmaxTable(5, 3), QTable(5, 3)):
        with pytest.raises(BadInput, match=said):
            learner.learn(Moment.of(segment))


def test_a_state_that_is_seen_twice_is_learned_twice() -> None:
    """Each choice in it counts, with what each earned."""
    softmax, values = SoftmaxTable(2, 2), QTable(2, 2)
    moment = Moment.of(Segment.of([1, 1], [0, 0], Earned(1.0), rewards=[0.25, 0.75]))
    softmax.learn(moment)
    assert softmax.gradient()[0] == pytest.approx(np.array([[0.0, 0.0], [1.0, -1.0]]))
    values.learn(moment)
    assert values.gradient()[0] == pytest.approx(np.array([[0.0, 0.0], [1.0, 0.0]]))
