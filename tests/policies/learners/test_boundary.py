"""The boundary check catches leaks that were planted, and finds none in the learners that ship."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from monastery.policies.learners.actor_critic import ActorCritic
from monastery.policies.learners.boundary import (
    CheckableLearner,
    Finding,
    LearnerSubject,
    TrainerSubject,
    check_boundary,
)
from monastery.policies.learners.causal_lm import CausalLM
from monastery.policies.learners.moments import Moment
from monastery.policies.learners.networks import Memoryless, Recurrent
from monastery.policies.learners.policy_gradient import PolicyGradient
from monastery.policies.learners.rehearsal import Kind, RehearsedStep
from monastery.policies.learners.transformer import Transformer
from monastery.policies.learners.watch import Watch
from monastery.runtime.errors import BadInput
from tests.policies.learners.planted import Leak, planted


def _false(findings: list[Finding]) -> set[str]:
    return {one.name for one in findings if one.verdict is False}


def _verdict(findings: list[Finding], name: str) -> bool | None:
    (found,) = (one.verdict for one in findings if one.name == name)
    return found


def test_a_trainer_without_a_leak_passes() -> None:
    """What catches leaks must not cry at their absence."""
    findings = check_boundary(lambda: planted("none"))
    assert [one.name for one in findings if not one.verdict] == []


@pytest.mark.parametrize(
    ("leak", "by"),
    [
        ("return-to-go", {"rewards"}),
        ("one advantage for the whole run", {"rewards"}),
        ("advantage grouped over steps", {"rewards"}),
        ("normalised over steps", {"rewards"}),
        ("GAE over the edge", {"rewards", "future"}),
        ("critic bootstrapped from the next step", {"future"}),
        ("filtered by outcome", {"future"}),
        ("sequence-level ratio", {"credit", "rewards", "choices", "future"}),
        ("dropped detach", {"past"}),
        ("critic's loss not cut", {"credit", "rewards", "future"}),
        ("first token from before the boundary", {"past"}),
        ("unaudited is zero", {"unmeasured", "credit"}),
        ("divided by the measured", {"rewards"}),
    ],
)
def test_a_planted_leak_is_caught(leak: Leak, by: set[str]) -> None:
    """Each leak that real trainers have, one at a time, by what it breaks and nothing else."""
    assert _false(check_boundary(lambda: planted(leak), seed=1)) == by


class Forgetful(PolicyGradient):
    """Forgets to cut the state."""

    def _cut(self, tensor: Tensor) -> Tensor:
        return tensor

    def _add(self, loss: Tensor) -> None:
        loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]


class Comparing(PolicyGradient):
    """Compares each reward with those before it."""

    seen: tuple[float, ...] = ()

    def _advantages(self, moment: Moment) -> list[float | None]:
        told = super()._advantages(moment)
        before = sum(self.seen) / max(len(self.seen), 1)
        self.seen += tuple(one for one in told if one is not None)
        return [None if one is None else one - before for one in told]


@pytest.mark.parametrize(("learner", "by"), [(Forgetful, "past"), (Comparing, "rewards")])
def test_a_leak_within_a_learner_is_caught(learner: type[PolicyGradient], by: str) -> None:
    """Being handed one moment at a time is no proof: a learner may remember what it should not."""

    def make() -> LearnerSubject:
        return LearnerSubject(learner(Recurrent(actions=7, vocabulary=7, width=8)), Kind(7))

    assert _false(check_boundary(make)) == {by}


def _llama() -> CausalLM:
    return CausalLM(
        LlamaForCausalLM(
            LlamaConfig(
                vocab_size=11,
                hidden_size=8,
                intermediate_size=8,
                num_hidden_layers=2,
                num_attention_heads=2,
                bos_token_id=0,
                eos_token_id=1,
            )
        )
    )


_TOKENS, _OTHERS = Kind(11, moments=3), Kind(11, moments=3, alternatives=2)
_SHIPPED: dict[str, tuple[Kind, Callable[[bool], CheckableLearner]]] = {
    "recurrent": (
        _OTHERS,
        lambda attached: PolicyGradient(
            Recurrent(actions=11, vocabulary=11, width=8), entropy=0.1, attached=attached
        ),
    ),
    "recurrent, observations": (
        Kind(5, observations=3, moments=3),
        lambda attached: ActorCritic(
            Recurrent(actions=5, observations=3, width=8), clip=0.5, attached=attached
        ),
    ),
    "perceptron": (
        Kind(5, inputs=9, moments=3),
        lambda attached: ActorCritic(
            Memoryless(actions=5, vocabulary=9, width=8), clip=0.5, entropy=0.1, attached=attached
        ),
    ),
    "transformer": (
        _TOKENS,
        lambda attached: PolicyGradient(
            Transformer(vocabulary=11, width=8, heads=2), clip=0.5, attached=attached
        ),
    ),
    "transformer, window": (
        _OTHERS,
        lambda attached: ActorCritic(
            Transformer(vocabulary=11, width=8, heads=2, window=8), attached=attached
        ),
    ),
    "transformers": (
        _TOKENS,
        lambda attached: PolicyGradient(_llama(), clip=0.5, attached=attached),
    ),
}


@pytest.mark.parametrize("attached", [False, True], ids=["strict", "attached"])
@pytest.mark.parametrize("name", _SHIPPED)
def test_learners_that_ship_pass(name: str, attached: bool) -> None:
    """No claim is false; I2 is claimed by strict learners, and found wherever anything crosses."""
    kind, make = _SHIPPED[name]
    findings = check_boundary(lambda: LearnerSubject(make(attached), kind))
    assert _false(findings) == set()
    unknown = {one.name for one in findings if one.verdict is None}
    assert unknown == ({"past"} if attached or name == "perceptron" else set())


def test_segments_that_are_learned_side_by_side_pass() -> None:
    """A batch is where segments could come to know of each other."""

    def make() -> LearnerSubject:
        learner = PolicyGradient(Recurrent(actions=11, vocabulary=11, width=8), entropy=0.1)
        return LearnerSubject(learner, _OTHERS, learner.learn_all)

    findings = check_boundary(make)
    assert [one.name for one in findings if not one.verdict] == []


@pytest.mark.parametrize("name", [name for name in _SHIPPED if name != "perceptron"])
def test_an_attached_learner_does_what_it_does_not_deny(name: str) -> None:
    """The check would see a gradient at the states if there was one: held to I2, attached fails."""
    kind, make = _SHIPPED[name]

    def subject() -> LearnerSubject:
        made = LearnerSubject(make(True), kind)
        made.strict = True
        return made

    assert _false(check_boundary(subject)) == {"past"}


def test_what_is_not_watched_is_not_known() -> None:
    """A trainer that tells nothing gets no verdict on what nobody saw."""
    network = Recurrent(actions=7, vocabulary=7, width=8)

    def backward(run: object, watch: Watch) -> None:
        network.choose(network(torch.zeros(1, 3, dtype=torch.int64))[0]).sum().backward()

    findings = check_boundary(lambda: TrainerSubject(Kind(7), network.parameters(), backward))
    for name in ("watched", "credit", "past"):
        assert _verdict(findings, name) is None
    assert "unmeasured" in _false(findings)


def test_outputs_that_the_loss_does_not_come_from_are_no_evidence() -> None:
    """Who watches a copy of the logits is told so, and does not pass."""
    network = Recurrent(actions=7, vocabulary=7, width=8)

    def backward(run: tuple[RehearsedStep, ...], watch: Watch) -> None:
        for number, step in enumerate(run):
            inputs = torch.from_numpy(step.moment.alternatives[0].inputs).unsqueeze(0)
            logits = network.choose(network(inputs)[0])
            watch.output(number, logits)
            score = step.moment.alternatives[0].earned.score
            (logits.sum() * (score or 0.0)).backward()

    findings = check_boundary(lambda: TrainerSubject(Kind(7), network.parameters(), backward))
    assert _verdict(findings, "watched") is False


def test_what_is_no_subject_is_refused() -> None:
    """A factory that returns something else is told what to return."""
    with pytest.raises(BadInput, match="got a int; return a LearnerSubject or a TrainerSubject"):
        check_boundary(lambda: 1)  # type: ignore[arg-type, return-value]


def test_what_does_not_repeat_is_not_compared() -> None:
    """A trainer that draws from elsewhere than torch's seed cannot be checked, and is told so."""
    count = [0.0]

    def make() -> TrainerSubject:
        subject = planted("none")
        count[0] += 1.0
        play = subject._backward

        def backward(run: tuple[RehearsedStep, ...], watch: Watch) -> None:
            play(run, watch)
            for parameter in subject._parameters:
                if parameter.grad is not None:
                    parameter.grad += count[0]

        subject._backward = backward  # type: ignore[assignment]
        return subject

    findings = check_boundary(make)
    assert [(one.name, one.verdict) for one in findings] == [("repeats", False)]
