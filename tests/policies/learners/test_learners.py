"""Learners: their gradients are those of the objective, computed another way."""

import copy
import gc
import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from monastery.policies.learners import causal_lm
from monastery.policies.learners.actor_critic import ActorCritic
from monastery.policies.learners.causal_lm import CausalLM
from monastery.policies.learners.moments import Moment, Segment
from monastery.policies.learners.networks import Actor, Memoryless, Network, Recurrent
from monastery.policies.learners.objective import policy_loss, segment_advantages
from monastery.policies.learners.policy_gradient import PolicyGradient
from monastery.policies.learners.torch_learner import TorchLearner
from monastery.policies.learners.transformer import Transformer
from monastery.runtime.credit import Earned
from monastery.runtime.errors import BadInput

Made = Callable[[], Network]


def _recurrent() -> Network:
    return Recurrent(actions=5, vocabulary=5, width=8).double()


def _transformer() -> Network:
    return Transformer(vocabulary=5, width=8, heads=2).double()


def _windowed() -> Network:
    return Transformer(vocabulary=5, width=8, heads=2, window=6).double()


_TINY = {"vocab_size": 5, "bos_token_id": 0, "eos_token_id": 1}


def _gpt2() -> Network:
    config = GPT2Config(n_embd=8, n_layer=2, n_head=2, n_positions=64, **_TINY)
    return CausalLM(GPT2LMHeadModel(config)).double()


def _mistral() -> Network:
    config = MistralConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=6,
        **_TINY,
    )
    return CausalLM(MistralForCausalLM(config)).double()


_NETWORKS: dict[str, Made] = {
    "recurrent": _recurrent,
    "transformer": _transformer,
    "gpt2": _gpt2,
    "mistral": _mistral,
}


def _run(lengths: tuple[int, ...] = (4, 6, 3, 5), alternatives: int = 1) -> list[Moment]:
    """Return moments of tokens, all measured but the third."""
    random, moments = np.random.default_rng(3), []
    for number, length in enumerate(lengths):
        segments = []
        for place in range(alternatives):
            tokens = random.integers(5, size=length + place).tolist()
            sampled = [place > 0 for place in range(length + place)]
            score = None if number == 2 else float(random.uniform())
            segments.append(Segment.from_tokens(tokens, sampled, Earned(score, 0.5)))
        moments.append(Moment(tuple(segments), alternatives - 1))
    return moments


def _gradient(learner: TorchLearner, moments: list[Moment]) -> Tensor:
    learner.begin()
    for moment in moments:
        learner.learn(moment)
    learner.gather()
    return _flat(learner.gradient(), learner.network)


def _flat(gradients: list[Tensor | None], network: Network) -> Tensor:
    pairs = zip(gradients, network.parameters(), strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for g, p in pairs])


def _by_hand(network: Network, moments: list[Moment], *, strict: bool) -> Tensor:
    """Return the gradient of the mean loss of a run without alternatives, without a learner.

    Attached, the run is read at once, and the loss masked. Strict, each segment is read after a
    past that a copy of the network has read.
    """
    frozen, loss = copy.deepcopy(network).requires_grad_(False), torch.zeros((), dtype=torch.double)
    tokens = [torch.from_numpy(moment.alternatives[0].inputs) for moment in moments]
    whole, _ = network(torch.cat(tokens).unsqueeze(0))
    begins = [0, *itertools.accumulate(map(len, tokens))]
    for number, moment in enumerate(moments):
        (segment,) = moment.alternatives
        if segment.earned.reward is None:
            continue
        features = whole[0, begins[number] : begins[number + 1]]
        if strict:
            past = None
            if number:
                _, past = frozen(torch.cat(tokens[:number]).unsqueeze(0))
            features = network(tokens[number].unsqueeze(0), past)[0][0]
        logprobs = network.choose(features).log_softmax(-1)
        for place, action in enumerate(segment.actions.tolist()):
            if action >= 0:
                loss = loss - segment.earned.reward * logprobs[place, action]
    network.zero_grad()
    (loss / len(moments)).backward()
    return _flat([parameter.grad for parameter in network.parameters()], network)


@pytest.mark.parametrize("attached", [False, True], ids=["strict", "attached"])
@pytest.mark.parametrize("name", _NETWORKS)
def test_the_gradient_is_that_of_each_steps_own_objective(name: str, attached: bool) -> None:
    """Masked and read at once when attached; after a past that is fixed when strict."""
    torch.manual_seed(0)
    network = _NETWORKS[name]()
    ours = _gradient(PolicyGradient(network, attached=attached), _run())
    assert torch.allclose(ours, _by_hand(network, _run(), strict=not attached), atol=1e-9)
    assert ours.abs().max() > 1e-3
    other = _by_hand(network, _run(), strict=attached)
    assert not torch.allclose(ours, other, atol=1e-6)


@pytest.mark.parametrize("alternatives", [1, 2])
def test_on_average_it_is_the_gradient_of_the_expected_score(alternatives: int) -> None:
    """Every choice that the policy may make is enumerated, with its probability."""
    torch.manual_seed(0)
    network = Recurrent(actions=2, observations=1, width=4).double()
    reads = np.array([[0.3], [0.7]])
    scores = {(0, 0): 0.1, (0, 1): 0.9, (1, 0): 0.4, (1, 1): 0.3}
    features, _ = network(torch.from_numpy(reads).unsqueeze(0))
    logprobs = network.choose(features[0]).log_softmax(-1)
    chance = {
        actions: sum(logprobs[place, one] for place, one in enumerate(actions)).exp()  # type: ignore[union-attr]
        for actions in scores
    }
    loss = -sum(chance[actions] * score for actions, score in scores.items())
    assert isinstance(loss, Tensor)
    loss.backward(retain_graph=True)
    exact = _flat([parameter.grad for parameter in network.parameters()], network)
    learner = PolicyGradient(network, baseline=0.2)
    network.zero_grad()
    expected = torch.zeros_like(exact)
    for choice in itertools.product(scores, repeat=alternatives):
        segments = [
            Segment(reads, np.array(actions), Earned(scores[actions])) for actions in choice
        ]
        weight = float(torch.stack([chance[actions] for actions in choice]).prod().detach())
        expected += weight * _gradient(learner, [Moment(tuple(segments))])
    assert torch.allclose(expected, exact, atol=1e-9)


@pytest.mark.parametrize("name", [*_NETWORKS, "windowed"])
def test_a_run_read_in_parts_is_the_run_read_at_once(name: str) -> None:
    """Cutting and streaming change gradients, and nothing that is said."""
    network = {**_NETWORKS, "windowed": _windowed}[name]()
    tokens = torch.arange(12).unsqueeze(0) % 5
    whole, _ = network(tokens)
    state, parts = None, []
    for part in tokens.split(5, dim=1):
        features, state = network(part, state)
        state = network.map_state(state, Tensor.detach)
        parts.append(features)
    same = torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-9)
    assert same == (name != "windowed")
    if isinstance(network, CausalLM):
        assert causal_lm.check(network.float()) is None


def test_a_window_bounds_what_is_remembered() -> None:
    """Keys and values of so many tokens, whatever the length of the run."""
    network, state = _windowed(), None
    for _ in range(20):
        with torch.no_grad():
            _, state = network(torch.zeros(1, 5, dtype=torch.int64), state)
    read, layers, _ = state
    assert read.tolist() == [100]
    kept = [tensor for layer in layers for tensor in layer]
    assert {tensor.shape[2] for tensor in kept} == {6}
    room = 2 * (6 + 5) * kept[0][0, :, 0].numel() * kept[0].element_size()
    assert max(tensor.untyped_storage().nbytes() for tensor in kept) <= room


@pytest.mark.parametrize("learner", [PolicyGradient, ActorCritic])
@pytest.mark.parametrize("batch_inputs", [1, 12, 1000])
def test_side_by_side_is_one_by_one(learner: type[PolicyGradient], batch_inputs: int) -> None:
    """Segments of many lengths, alternatives, unmeasured ones: the same updates and gradients."""
    torch.manual_seed(0)
    moments = _run((4, 9, 5, 30, 3, 31), alternatives=2)
    one = learner(_recurrent(), entropy=0.1)
    other = copy.deepcopy(one)
    one.begin()
    updates = [one.learn(moment) for moment in moments]
    other.begin()
    again = other.learn_all(moments, batch_inputs)
    assert [update.advantages for update in again] == [update.advantages for update in updates]
    assert [update.actions for update in again] == [update.actions for update in updates]
    assert [update.loss for update in again] == pytest.approx([one.loss for one in updates])
    assert (one.gather(), other.gather()) == (6, 6)
    assert torch.allclose(
        _flat(one.gradient(), one.network), _flat(other.gradient(), other.network), atol=1e-9
    )


def test_the_mean_is_over_all_moments_measured_or_not() -> None:
    """What was not audited is in the number that the sum is divided by."""
    network, moments = _recurrent(), _run()
    learner = PolicyGradient(network)
    learner.begin()
    total = torch.zeros(())
    for moment in moments:
        learner.learn(moment)
        total = total + _flat(learner.gradient(), network)
    assert torch.allclose(_gradient(PolicyGradient(network), moments), total / 4, atol=1e-9)


def test_one_alone_is_compared_with_the_baseline_and_several_with_each_other() -> None:
    """The constant that was chosen in advance is for a moment without alternatives."""
    learner = PolicyGradient(_recurrent(), baseline=0.25)
    low, high = (Segment.of([0], [1], Earned(score, 0.5)) for score in (0.25, 0.75))
    assert learner.learn(Moment.of(high)).advantages == (1.0,)
    assert learner.learn(Moment.of(low)).advantages == (0.0,)
    assert learner.learn(Moment((low, high))).advantages == (-1.0, 1.0)


def test_a_judge_teaches_where_nothing_was_audited() -> None:
    """The doubly robust form is a judge's opinion, filled in; without one there is nothing."""
    network = _recurrent()
    silent = Segment.of([0, 1], [1, 2], Earned(None, 0.5))
    spoken = Segment.of([0, 1], [1, 2], Earned(None, 0.5, judged=0.7))
    for make in (PolicyGradient, ActorCritic):
        assert not _gradient(make(network), [Moment.of(silent)]).any()
        assert _gradient(make(network), [Moment.of(spoken)]).any()


def test_the_memory_of_a_run_is_that_of_a_segment() -> None:
    """As many tensors are alive after 50 moments as after 5, and the state hangs on no graph."""
    learner = PolicyGradient(_recurrent())
    moments = [Moment.of(Segment.from_tokens([0, 1, 2], [False, True, True], Earned(0.5)))] * 50
    alive = []
    learner.begin()
    for number, moment in enumerate(moments, 1):
        learner.learn(moment)
        if number in (5, 50):
            gc.collect()
            alive.append(sum(issubclass(type(one), Tensor) for one in gc.get_objects()))
    assert alive[0] == alive[1]
    assert not learner._state.requires_grad


def test_a_step_changes_the_policy_towards_what_was_good() -> None:
    """The whole way: an actor acts, a learner learns, and the better action is taken."""
    torch.manual_seed(0)
    network = Memoryless(actions=2, vocabulary=1, width=8)
    learner, actor = PolicyGradient(network, baseline=0.5), Actor(network, seed=0)
    for _ in range(150):
        learner.begin()
        actor.begin()
        for _ in range(8):
            actor.read([0])
            action, logprob = actor.choose()
            assert logprob < 0.0
            segment = Segment.of([0], [action], Earned(float(action)), logprobs=[logprob])
            learner.learn(Moment.of(segment))
        assert learner.step() == 8
    chances = network.choose(network(torch.zeros(1, 1, dtype=torch.int64))[0]).softmax(-1)
    assert chances[0, 0, 1] > 0.9


def test_an_actor_says_how_likely_its_choice_was() -> None:
    """What it records is what the learner would compute from the same inputs."""
    network = _recurrent()
    actor = Actor(network, seed=1)
    with pytest.raises(ValueError, match="reads before it chooses"):
        actor.choose()
    actor.read([0, 3])
    actor.read([4])
    action, logprob = actor.choose()
    logits = network.choose(network(torch.tensor([[0, 3, 4]]))[0])[0, -1]
    assert logprob == pytest.approx(float(logits.log_softmax(-1)[action].detach()))


def test_advantages_end_with_the_segment() -> None:
    """The recursion is the sum that defines it; after the last action there is nothing."""
    rewards, values = torch.tensor([0.1, 0.0, 0.7]), torch.tensor([0.3, 0.5, 0.2])
    after = [0.5, 0.2, 0.0]
    errors = [float(rewards[t]) + 0.9 * after[t] - float(values[t]) for t in range(3)]
    expected = [sum((0.9 * 0.8) ** (u - t) * errors[u] for u in range(t, 3)) for t in range(3)]
    assert segment_advantages(rewards, values, 0.9, 0.8).tolist() == pytest.approx(expected)


def test_a_critic_learns_scores_and_not_scores_over_probability() -> None:
    """The weight is on its loss: what it expects of rare audits is what they find."""
    torch.manual_seed(0)
    network = Memoryless(actions=2, vocabulary=1, width=8)
    learner = ActorCritic(network)
    moment = Moment.of(Segment.of([0, 0], [1, 0], Earned(0.6, 0.1), rewards=[0.2, 0.4]))
    for _ in range(400):
        learner.begin()
        learner.learn(moment)
        learner.step()
    value = network.value(network(torch.zeros(1, 1, dtype=torch.int64))[0])
    assert float(value.detach()) == pytest.approx((0.6 + 0.4) / 2, abs=0.05)


def test_a_ratio_beyond_its_clip_is_not_trained_on() -> None:
    """Each action has its own ratio, and one that went too far has no gradient."""
    logprobs = torch.tensor([-0.5, -0.5], requires_grad=True)
    old = torch.tensor([-0.5, -1.5])
    policy_loss(logprobs, torch.tensor(1.0), old, 0.2).backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [-1.0, 0.0]


@pytest.mark.parametrize(
    ("segment", "said"),
    [
        (Segment.of([[0.5]], [0], Earned(0.5)), r"inputs are \[1, 1\]; this policy reads numbers"),
        (Segment.of([0], [5], Earned(0.5)), "has action 5; this policy has 5, counted from 0"),
    ],
)
def test_moments_of_another_kind_are_refused(segment: Segment, said: str) -> None:
    """One line says what the policy reads."""
    with pytest.raises(BadInput, match=said):
        PolicyGradient(_recurrent()).learn(Moment.of(segment))
    with pytest.raises(BadInput, match=said):
        PolicyGradient(_recurrent()).learn_all([Moment.of(segment)])
