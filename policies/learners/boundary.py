"""The boundary check: does any training signal of a learner or trainer cross a boundary?

It plays made-up runs to whatever is checked and compares gradients, bit by bit:

repeats     two equal runs give equal gradients, without which nothing can be compared
watched     what is rewarded has a gradient at outputs that were told; else nothing was watched
unmeasured  a run in which nothing was measured teaches nothing
credit      I1: the reward of one moment alone gives exactly no gradient at outputs of any other
rewards     I1: rewards and probabilities of other moments do not change a moment's gradient
choices     I1: nor do log-probabilities recorded in other moments, nor actions but as context
future      I1: nor does what came of the moment's own step, nor anything after it
past        I2: exactly no gradient reaches what is remembered across a boundary

A verdict is True, False, or None where it could not be tried, with the reason.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from monastery.policies.learners import compare, rehearsal
from monastery.policies.learners.moments import Moment
from monastery.policies.learners.rehearsal import Kind, RehearsedStep
from monastery.policies.learners.watch import Watch
from monastery.runtime.errors import BadInput

Gradients = Mapping[int | None, Sequence[Any]]
"""The gradient of each moment's loss [a tensor or array for each parameter]; under None, of all."""


_ROUNDING = 1e-4
"""How much of its size a gradient may change by where only roundings can differ."""


class Subject(Protocol):
    """What is checked, made anew for every run that it is played."""

    kind: Kind
    strict: bool

    def play(self, run: Sequence[RehearsedStep], watch: Watch) -> Gradients:
        """Learn a run without changing the policy; tell outputs and states to the watch."""
        ...


class CheckableLearner(Protocol):
    """A learner that shows what it adds up, as those of this package do."""

    attached: bool
    watch: Any

    def begin(self) -> None:
        """See `Learner.begin`."""
        ...

    def learn(self, moment: Moment) -> object:
        """See `Learner.learn`."""
        ...

    def gather(self) -> int:
        """Leave the mean gradient where `gradient` finds it."""
        ...

    def gradient(self) -> Sequence[Any]:
        """Return what was added up so far, and begin anew."""
        ...


class LearnerSubject:
    """A learner as a subject.

    Args:
        learner: What is checked.
        kind: What it reads and chooses.
        learn_all: Its way to learn several moments, if that is checked: ``learner.learn_all``.
    """

    def __init__(
        self,
        learner: CheckableLearner,
        kind: Kind,
        learn_all: Callable[[list[Moment]], object] | None = None,
    ) -> None:
        self.kind, self.strict, self._learner = kind, not learner.attached, learner
        self._learn_all = learn_all

    def play(self, run: Sequence[RehearsedStep], watch: Watch) -> Gradients:
        """Let it learn the run."""
        learner, found = self._learner, dict[int | None, Sequence[Any]]()
        learner.watch = watch
        learner.begin()
        if self._learn_all is not None:
            self._learn_all([step.moment for step in run])
        else:
            for number, step in enumerate(run):
                learner.learn(step.moment)
                if not learner.attached:
                    found[number] = learner.gradient()
        learner.gather()
        found[None] = learner.gradient()
        return found


class TrainerSubject:
    """A trainer that learns a whole run at once, as a subject.

    Args:
        kind: What it reads and chooses.
        parameters: What it trains.
        backward: Computes its loss of a run and calls ``backward``; passes its logits and values
            through ``watch.output``, and what it remembers across boundaries through
            ``watch.boundary``.
        strict: Whether it claims I2.
    """

    def __init__(
        self,
        kind: Kind,
        parameters: Iterable[Tensor],
        backward: Callable[[Sequence[RehearsedStep], Watch], None],
        *,
        strict: bool = True,
    ) -> None:
        self.kind, self.strict = kind, strict
        self._parameters, self._backward = list(parameters), backward

    def play(self, run: Sequence[RehearsedStep], watch: Watch) -> Gradients:
        """Let it learn the run."""
        for parameter in self._parameters:
            parameter.grad = None
        self._backward(run, watch)
        return {None: [parameter.grad for parameter in self._parameters]}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the check found of one claim."""

    name: str
    verdict: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class _Seen:
    """What one run gave."""

    watch: Watch
    gradients: Gradients

    def of(self, moment: int) -> list[Any]:
        """Return all gradients that are of one moment alone."""
        outputs = [seen for (one, _), seen in sorted(self.watch.outputs.items()) if one == moment]
        return [*outputs, *self.gradients.get(moment, ())]


def check_boundary(make: Callable[[], Subject], *, seed: int = 0) -> list[Finding]:
    """Check a learner or trainer; it passes when no verdict is False.

    Args:
        make: Makes the same subject every time: torch's seed is set before.
        seed: Of the runs that it is played.

    Raises:
        BadInput: What was made is no subject.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums are then added in one order, and come out the same
    try:
        return _Check(make, seed).findings()
    finally:
        torch.set_num_threads(threads)


class _Check:
    def __init__(self, make: Callable[[], Subject], seed: int) -> None:
        self._make, self._seed = make, seed
        subject = self._new()
        if not all(hasattr(subject, name) for name in ("kind", "strict", "play")):
            made = type(subject).__name__
            raise BadInput(f"got a {made}; return a LearnerSubject or a TrainerSubject")
        self._kind, self._strict = subject.kind, subject.strict
        self._run = rehearsal.rehearse(self._kind, seed)
        self._base = self._play(self._run)

    def findings(self) -> list[Finding]:
        repeats = self._repeats()
        if not repeats.verdict:
            return [repeats]
        watched = self._watched()
        return [
            repeats,
            watched,
            self._unmeasured(),
            self._credit(),
            self._unchanged("rewards", "other moments' rewards", self._other_rewards),
            self._unchanged("choices", "other moments' choices", self._other_choices),
            self._unchanged("future", "its outcome and what came after", self._other_future),
            self._past(),
        ]

    def _new(self) -> Subject:
        torch.manual_seed(self._seed)
        return self._make()

    def _play(self, run: rehearsal.Run) -> _Seen:
        subject, watch = self._new(), Watch()
        return _Seen(watch, subject.play(run, watch))

    def _moments(self) -> range:
        return range(self._kind.moments)

    def _repeats(self) -> Finding:
        again = self._play(self._run)
        same = all(compare.same(self._base.of(k), again.of(k)) for k in self._moments())
        same = same and compare.same(_total(self._base), _total(again))
        if not same:
            why = "two equal runs gave different gradients; seed what it draws, or use one thread"
            return Finding("repeats", False, why)
        if not any(compare.size(one) for seen in (self._base,) for one in _everything(seen)):
            return Finding("repeats", False, "no run gave any gradient; is backward called?")
        return Finding("repeats", True, "two equal runs gave equal gradients")

    def _watched(self) -> Finding:
        if not self._base.watch.outputs:
            return Finding("watched", None, "no output was told: call watch.output on logits")
        for moment in self._moments():
            told = [seen for (k, _), seen in self._base.watch.outputs.items() if k == moment]
            if not any(compare.size(seen) for seen in told):
                why = "is rewarded, and no gradient reached what was told of it: compute the loss"
                return Finding("watched", False, f"moment {moment} {why} from what watch returns")
        count = len(self._base.watch.outputs)
        return Finding("watched", True, f"a gradient reached {count} outputs of all moments")

    def _unmeasured(self) -> Finding:
        found = max(
            map(compare.size, _everything(self._play(rehearsal.unmeasured(self._run)))), default=0
        )
        if found:
            why = f"nothing was measured, and there is a gradient of up to {found:.3g}"
            return Finding("unmeasured", False, why)
        return Finding("unmeasured", True, "what was not measured taught nothing")

    def _credit(self) -> Finding:
        if not self._base.watch.outputs:
            return Finding("credit", None, "no output was told: call watch.output on logits")
        for moment in self._moments():
            seen = self._play(rehearsal.alone(self._run, moment))
            for (other, _), gradient in seen.watch.outputs.items():
                if other != moment and compare.size(gradient):
                    why = f"the reward of moment {moment} reaches outputs of moment {other}"
                    return Finding("credit", False, f"{why}, by up to {compare.size(gradient):.3g}")
        return Finding("credit", True, "each moment's reward reaches its own outputs only")

    def _unchanged(
        self, name: str, what: str, change: Callable[[int], Iterable[tuple[rehearsal.Run, float]]]
    ) -> Finding:
        if not any(self._base.of(moment) for moment in self._moments()):
            return Finding(name, None, "no gradient of one moment alone is known")
        for moment in self._moments():
            for changed, rounding in change(moment):
                base, seen = self._base.of(moment), self._play(changed).of(moment)
                if not compare.close(base, seen, rounding):
                    by = compare.difference(base, seen)
                    why = f"the gradient of moment {moment} changed with {what}, by up to {by:.3g}"
                    return Finding(name, False, why)
        return Finding(name, True, f"no moment's gradient changed a bit with {what}")

    def _other_rewards(self, moment: int) -> Iterable[tuple[rehearsal.Run, float]]:
        yield rehearsal.other_rewards(self._run, moment, self._seed + 1), 0.0
        # Fewer segments to learn side by side: other shapes, and so other roundings.
        yield rehearsal.later_unmeasured(self._run, moment), _ROUNDING

    def _other_choices(self, moment: int) -> Iterable[tuple[rehearsal.Run, float]]:
        yield rehearsal.other_choices(self._kind, self._run, moment, self._seed + 1), 0.0

    def _other_future(self, moment: int) -> Iterable[tuple[rehearsal.Run, float]]:
        yield rehearsal.other_future(self._kind, self._run, moment, self._seed + 1), 0.0

    def _past(self) -> Finding:
        states = self._base.watch.states
        if not self._strict:
            return Finding("past", None, "attached: it does not claim this")
        if not states:
            why = "no state was told: call watch.boundary on it, if anything is remembered"
            return Finding("past", None, why)
        for (moment, _), gradient in states.items():
            found = compare.size(gradient)
            if found:
                why = f"a gradient of up to {found:.3g} reaches what left moment {moment}"
                return Finding("past", False, why)
        told = f"no gradient reached any of {len(states)} states"
        if self._base.watch.cut == len(states):
            told += "; they were told when they were cut already"
        return Finding("past", True, told)


def _everything(seen: _Seen) -> list[Any]:
    told = [one for gradients in seen.gradients.values() for one in gradients]
    return [*seen.watch.outputs.values(), *told]


def _total(seen: _Seen) -> list[Any]:
    return list(seen.gradients.get(None, ()))
