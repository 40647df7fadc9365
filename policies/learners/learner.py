"""What a learner is: it is handed one moment of a run, and nothing else.

A run is told as `begin`, then `learn` for each of its moments in order, then `step` when so many
moments have been learned as one update is to be made of. A moment without a reward is read all the
same: what it leaves behind (the state of a recurrent policy, the keys and values of a transformer)
is context for the next. That state is the learner's own and crosses a boundary as numbers only.

`step` divides what was added up by the number of *all* moments that were learned since the last
one, measured or not. Nothing is normalised, clipped, ranked or filtered over several moments.
"""

from dataclasses import dataclass
from typing import Protocol

from monastery.policies.learners.moments import Moment


@dataclass(frozen=True, slots=True)
class Update:
    """What came of one moment.

    Attributes:
        loss: What was added to the loss, before the division; 0 where nothing was measured.
        actions: How many actions were trained on.
        advantages: What each alternative was trained with; None where there was nothing.
    """

    loss: float
    actions: int
    advantages: tuple[float | None, ...]


class Learner(Protocol):
    """Updates a policy."""

    def begin(self) -> None:
        """Begin a run: forget the state of the last one, and nothing that was learned."""
        ...

    def learn(self, moment: Moment) -> Update:
        """Add what one moment teaches to the next step, and go on past its boundary.

        Raises:
            BadInput: The moment is not of the kind that this policy reads and chooses.
        """
        ...

    def step(self) -> int:
        """Change the policy by what was learned since the last step; return of how many moments."""
        ...
