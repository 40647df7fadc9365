"""What the learners on torch have in common: one moment's gradient, added up and then divided.

Strict, the default: the state crosses a boundary as numbers, cut from the graph that made it, and
the memory of a moment's graph is given back before the next is read. I1 and I2 hold, see
docs/learning.md.

Attached: the state keeps its graph until the step, so that earlier moments are trained to
*remember* what later ones need, and still not to bring about what is rewarded there. I1 holds, I2
does not, and memory grows with the run.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from monastery.policies.learners.learner import Update
from monastery.policies.learners.moments import Moment, Segment
from monastery.policies.learners.networks import Network, State
from monastery.policies.learners.watch import Watch
from monastery.runtime.errors import BadInput

MakeOptimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def adamw(learning_rate: float) -> MakeOptimizer:
    """Return what makes the usual optimiser: AdamW without decay, fused, which is quicker."""

    def make(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0, fused=True)

    return make


@dataclass(frozen=True, slots=True)
class _Row:
    """A segment that waits to be learned.

    Attributes:
        taught: Among how many alternatives its loss is shared.
        state: What was remembered when it began.
        index: The number of its moment in the run.
        number: The number of its update.
    """

    segment: Segment
    advantage: float
    taught: int
    state: State
    index: int
    number: int


class TorchLearner:
    """Learns one moment at a time.

    Args:
        network: The policy; it is changed by `step`.
        optimizer: Makes what changes it. It may remember earlier steps, as Adam does.
        attached: Whether the state keeps its graph across boundaries.

    Attributes:
        watch: Sees gradients, for a boundary check.
    """

    def __init__(self, network: Network, optimizer: MakeOptimizer, *, attached: bool) -> None:
        self.network = network
        self.attached = attached
        self.watch: Watch | None = None
        self._parameters = [one for one in network.parameters() if one.requires_grad]
        self._device = self._parameters[0].device
        self._optimizer = optimizer(self._parameters)
        self._state: State = None
        self._index = 0
        self._moments = 0
        self._pending: Tensor | None = None

    def begin(self) -> None:
        """Begin a run: forget the state of the last one."""
        self._state, self._index = None, 0

    def learn(self, moment: Moment) -> Update:
        """Add what one moment teaches to the next step, and go on past its boundary.

        Raises:
            BadInput: The moment is not of the kind that this policy reads and chooses.
        """
        for segment in moment.alternatives:
            self._check(segment)
        before, loss, actions, after = self._state, 0.0, 0, None
        wanted = self._advantages(moment)
        taught = sum(one is not None for one in wanted)
        for number, (segment, advantage) in enumerate(
            zip(moment.alternatives, wanted, strict=True)
        ):
            live, teaches = number == moment.live, advantage is not None and segment.chosen.any()
            if not live and not teaches:
                continue
            with torch.set_grad_enabled(bool(teaches) or self.attached):
                features, state = self.network(self._inputs(segment), before)
                if advantage is not None and teaches:
                    one = self._loss(segment, advantage, features[0]) / taught
                    loss, actions = loss + one.item(), actions + int(segment.chosen.sum())
                    self._add(one)
            if live:
                after = state
        self._cross(after)
        self._moments += 1
        return Update(loss, actions, tuple(wanted))

    def learn_all(self, moments: Iterable[Moment], batch_inputs: int = 8192) -> list[Update]:
        """Learn moments that follow each other, as `learn` does one by one, but several at a time.

        First the moments are read for the states that they begin in, then their segments are
        learned side by side, each from its own state: what comes of it is the same up to rounding.
        Networks whose states do not lie side by side, and attached learners, learn one by one.

        Args:
            moments: The run's next ones.
            batch_inputs: How many inputs to keep in memory at a time, padding not counted.

        Raises:
            BadInput: A moment is not of the kind that this policy reads and chooses.
        """
        if self.attached or not self.network.batches:
            return [self.learn(moment) for moment in moments]
        updates: list[Update] = []
        rows: list[_Row] = []
        for moment in moments:
            updates.append(Update(0.0, 0, tuple(self._read(moment, rows, len(updates)))))
            if sum(len(row.segment.inputs) for row in rows) >= batch_inputs:
                self._learn_rows(rows, updates)
                rows.clear()
        self._learn_rows(rows, updates)
        return updates

    def _read(self, moment: Moment, rows: list["_Row"], number: int) -> list[float | None]:
        """Go on past a moment without learning it; put down what of it is to be learned."""
        for segment in moment.alternatives:
            self._check(segment)
        wanted = self._advantages(moment)
        taught = sum(one is not None for one in wanted)
        for segment, advantage in zip(moment.alternatives, wanted, strict=True):
            if advantage is not None and segment.chosen.any():
                rows.append(_Row(segment, advantage, taught, self._state, self._index, number))
        with torch.no_grad():
            live = moment.alternatives[moment.live]
            _, after = self.network(self._inputs(live), self._state)
        self._cross(after)
        self._moments += 1
        return wanted

    def _learn_rows(self, rows: list["_Row"], updates: list[Update]) -> None:
        """Learn segments side by side, those of like lengths together."""
        index = self._index
        rows = sorted(rows, key=lambda row: len(row.segment.inputs))
        while rows:
            shortest = len(rows[0].segment.inputs)
            together = [row for row in rows if len(row.segment.inputs) <= 1.25 * shortest + 8]
            del rows[: len(together)]
            inputs = pad_sequence(
                [self._inputs(row.segment)[0] for row in together], batch_first=True
            )
            state = self.network.stack([row.state for row in together])
            features, _ = self.network(inputs, state)
            losses = []
            for row, read in zip(together, features, strict=True):
                self._index = row.index
                told = read[: len(row.segment.inputs)]
                losses.append(self._loss(row.segment, row.advantage, told) / row.taught)
            total = torch.stack(losses)
            total.sum().backward()
            for row, loss in zip(together, total.tolist(), strict=True):
                was, count = updates[row.number], int(row.segment.chosen.sum())
                updates[row.number] = Update(was.loss + loss, was.actions + count, was.advantages)
        self._index = index

    def gather(self) -> int:
        """Leave the mean gradient over all moments since the last step in the parameters.

        Returns:
            How many moments there were.
        """
        if self._pending is not None:
            self._pending.backward()
            self._pending = None
            self._state = self.network.map_state(self._state, Tensor.detach)
        moments, self._moments = self._moments, 0
        for parameter in self._parameters:
            if parameter.grad is not None and moments:
                parameter.grad /= moments
        return moments

    def step(self) -> int:
        """Change the policy by the mean over all moments since the last step, measured or not."""
        moments = self.gather()
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return moments

    def gradient(self) -> list[Tensor | None]:
        """Return what was added up so far, a tensor for each parameter, and begin anew."""
        found = [parameter.grad for parameter in self._parameters]
        self._optimizer.zero_grad(set_to_none=True)
        return found

    def _advantages(self, moment: Moment) -> list[float | None]:
        """Return, for each alternative, what `_loss` is given for it; None: it teaches nothing."""
        return moment.advantages()

    @abstractmethod
    def _loss(self, segment: Segment, advantage: float, features: Tensor) -> Tensor:
        """Return the loss of one segment from its features [L, H]."""

    def _chosen(self, segment: Segment, features: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return features [n, H], actions [n] and old log-probabilities of what was chosen.

        Only where something was chosen: a head over a vocabulary is most of a small model's work.
        """
        chosen, old = segment.chosen, segment.logprobs
        actions = torch.from_numpy(segment.actions[chosen]).to(self._device)
        told = None if old is None else torch.from_numpy(old[chosen]).to(features)
        return features[torch.from_numpy(chosen).to(self._device)], actions, told

    def _watched(self, output: Tensor) -> Tensor:
        return output if self.watch is None else self.watch.output(self._index, output)

    def _add(self, loss: Tensor) -> None:
        if self.attached:
            self._pending = loss if self._pending is None else self._pending + loss
        else:
            loss.backward()

    def _cross(self, state: State) -> None:
        """Go past the boundary: here, and nowhere else, a state goes from a moment to the next."""
        watch, index = self.watch, self._index
        if watch is not None:
            state = self.network.map_state(state, lambda one: watch.boundary(index, one))
        self._state = state if self.attached else self.network.map_state(state, self._cut)
        self._index += 1

    def _cut(self, tensor: Tensor) -> Tensor:
        return tensor.detach()

    def _inputs(self, segment: Segment) -> Tensor:
        return torch.from_numpy(segment.inputs).to(self._device).unsqueeze(0)

    def _check(self, segment: Segment) -> None:
        network, shape = self.network, segment.inputs.shape
        wide = network.observations
        if (len(shape) == 1) != (wide is None) or (wide is not None and shape[1:] != (wide,)):
            reads = "numbers, [L]" if wide is None else f"observations, [L, {wide}]"
            raise BadInput(f"the segment's inputs are {list(shape)}; this policy reads {reads}")
        if segment.actions.max() >= network.actions:
            raise BadInput(
                f"the segment has action {segment.actions.max()}; this policy has"
                f" {network.actions}, counted from 0"
            )
