"""Policies that are tables, for studies: softmax policy gradients, and Q-learning. Without torch.

Inputs are numbers of states. Nothing is remembered from one input to the next, so nothing crosses a
boundary but through what was learned.
"""

import numpy as np
from numpy.typing import NDArray

from monastery.policies.learners.learner import Update
from monastery.policies.learners.moments import Moment
from monastery.runtime.errors import BadInput

Table = NDArray[np.float64]
"""[states, actions]"""


class _TableLearner:
    """Adds up what moments say of a table."""

    attached = False

    def __init__(self, states: int, actions: int, learning_rate: float) -> None:
        self.table: Table = np.zeros((states, actions))
        self.watch: object = None  # for a boundary check, which has no gradient to see here
        self._rate = learning_rate
        self._sum: Table = np.zeros_like(self.table)
        self._moments = 0

    def begin(self) -> None:
        """Begin a run; there is nothing to forget."""

    def gather(self) -> int:
        """Divide what was added up by the number of moments, and return that."""
        moments, self._moments = self._moments, 0
        if moments:
            self._sum /= moments
        return moments

    def gradient(self) -> list[Table]:
        """Return what was added up, and begin anew."""
        found, self._sum = self._sum, np.zeros_like(self.table)
        return [found]

    def step(self) -> int:
        """Change the table by the mean over all moments since the last step, measured or not."""
        moments = self.gather()
        (change,) = self.gradient()
        self.table += self._rate * change
        return moments

    def _checked(self, moment: Moment) -> Moment:
        states, actions = self.table.shape
        for segment in moment.alternatives:
            inputs = segment.inputs
            if inputs.ndim != 1 or inputs.dtype.kind != "i":
                raise BadInput(f"inputs are {list(inputs.shape)}; a table reads numbers of states")
            if inputs.min() < 0 or inputs.max() >= states or segment.actions.max() >= actions:
                raise BadInput(
                    f"a state or an action is not in this table of {states} states and"
                    f" {actions} actions, counted from 0"
                )
        return moment


class SoftmaxTable(_TableLearner):
    """Chooses by softmax over a table of preferences; learns by REINFORCE. I1 and I2.

    Args:
        states: How many there are.
        actions: How many there are.
        learning_rate: Of the mean over moments.
        baseline: What a score without alternatives is compared with; chosen in advance.
    """

    def __init__(
        self, states: int, actions: int, *, learning_rate: float = 1.0, baseline: float = 0.0
    ) -> None:
        super().__init__(states, actions, learning_rate)
        self._baseline = baseline

    def chances(self, state: int) -> NDArray[np.float64]:
        """Return how likely each action is in a state, [actions]."""
        return _softmax(self.table[state])

    def learn(self, moment: Moment) -> Update:
        """Add what one moment teaches to the next step.

        Raises:
            BadInput: A state or an action is not in the table.
        """
        wanted = self._checked(moment).advantages(self._baseline)
        taught, loss, count = sum(one is not None for one in wanted), 0.0, 0
        for segment, advantage in zip(moment.alternatives, wanted, strict=True):
            if advantage is None:
                continue
            chosen = segment.chosen
            states, actions = segment.inputs[chosen], segment.actions[chosen]
            chances, here = _softmax(self.table[states]), np.arange(len(states))
            score = -chances  # [n, actions], d log pi / d preferences
            score[here, actions] += 1.0
            np.add.at(self._sum, states, advantage / taught * score)
            loss -= advantage / taught * float(np.log(chances[here, actions]).sum())
            count += len(states)
        self._moments += 1
        return Update(loss, count, tuple(wanted))


class QTable(_TableLearner):
    """Learns what actions are worth within their segment, by Q-learning. I1 and I2.

    After a segment's last action comes the boundary: it is worth what it earned, and nothing is
    expected of the state that follows.

    Args:
        states: How many there are.
        actions: How many there are.
        learning_rate: Of the mean over moments.
        discount: Of each action to the next, within a segment.
    """

    def __init__(
        self, states: int, actions: int, *, learning_rate: float = 0.1, discount: float = 1.0
    ) -> None:
        super().__init__(states, actions, learning_rate)
        self._discount = discount

    def best(self, state: int) -> int:
        """Return the action that is worth most in a state, the first of equals."""
        return int(self.table[state].argmax())

    def learn(self, moment: Moment) -> Update:
        """Add what one moment teaches to the next step.

        Raises:
            BadInput: A state or an action is not in the table.
        """
        wanted = [segment.earned.value() for segment in self._checked(moment).alternatives]
        taught, loss, count = sum(one is not None for one in wanted), 0.0, 0
        for segment, worth in zip(moment.alternatives, wanted, strict=True):
            if worth is None or not segment.chosen.any():
                continue
            chosen, share = segment.chosen, segment.earned.share
            states, actions = segment.inputs[chosen], segment.actions[chosen]
            after = np.append(self.table[states[1:]].max(axis=-1), 0.0)
            targets = segment.action_rewards(worth / share) + self._discount * after
            errors = targets - self.table[states, actions]
            np.add.at(self._sum, (states, actions), share / taught * errors)
            loss += share / taught * float(np.square(errors).sum()) / 2
            count += len(states)
        self._moments += 1
        return Update(loss, count, tuple(wanted))


def _softmax(preferences: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(preferences - preferences.max(axis=-1, keepdims=True))
    chances: NDArray[np.float64] = raised / raised.sum(axis=-1, keepdims=True)
    return chances
