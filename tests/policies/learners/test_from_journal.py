"""From a run to an update: what was lived, recorded, audited and weighted reaches the policy."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from monastery.policies.learners.moments import Moment, from_items
from monastery.policies.learners.networks import Actor, Recurrent
from monastery.policies.learners.policy_gradient import PolicyGradient
from monastery.runtime.credit import Earned
from monastery.runtime.errors import AuditFailed
from monastery.runtime.store import Store
from monastery.runtime.training import training_items
from tests.runtime.world import SetAuditor, Small, approve

pytestmark = pytest.mark.virtual

HEADER = 6


class Thinking:
    """A policy that is a small network, and tells what it read and drew."""

    name = "thinking"

    def __init__(self, network: Recurrent) -> None:
        self._actor = Actor(network, seed=1)
        self._segment = 0

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Draw two tokens after the prompt; a new segment begins with the header."""
        if body["segment"] != self._segment:
            self._actor.read([HEADER])
            self._segment = body["segment"]
        self._actor.read([body["ask"]])
        drawn = []
        for _ in range(2):
            drawn.append(self._actor.choose())
            self._actor.read([drawn[-1][0]])
        ids, logprobs = [token for token, _ in drawn], [chance for _, chance in drawn]
        return {"prompt_token_ids": [body["ask"]], "token_ids": ids, "logprobs": logprobs}


async def _agent(inside: Any) -> int:
    for number in (1, 2, 3):
        await inside.model({"segment": number, "ask": number})
        await inside.propose("note", f"note {number}", "why")
    return 0


async def test_a_lived_run_is_learned(tmp_path: Path) -> None:
    """Measured segments teach, the failed audit does not.

    The learner's own chances are those that were recorded: it reads and remembers what the policy
    did.
    """
    torch.manual_seed(0)
    network = Recurrent(actions=7, vocabulary=7, width=8)
    votes = approve(0.9), AuditFailed("broke"), approve(0.2)
    small = Small(tmp_path, _agent, [SetAuditor(*votes)], policy=Thinking(network))
    row = small.new()
    await small.live(row)
    with Store.open(tmp_path) as store:
        items = list(training_items(store, row.run))
    assert [item.earned.score for item in items] == [0.9, None, 0.2, None]
    moments = [from_items([item], HEADER) for item in items[:3]]
    learner = PolicyGradient(network, clip=0.2)
    learner.begin()
    updates = [learner.learn(moment) for moment in moments]
    assert [update.advantages for update in updates] == [(0.9,), (None,), (0.2,)]
    assert [update.actions for update in updates] == [2, 0, 2]
    # On policy each ratio is 1: the loss of n actions is their advantage, n times.
    assert [update.loss for update in updates] == pytest.approx([-1.8, 0.0, -0.4], abs=1e-5)
    before = _chance(network, moments)
    assert learner.step() == 3
    assert _chance(network, moments) > before


def _chance(network: Recurrent, moments: list[Moment]) -> float:
    """Return the log-probability of all that was done in the first moment."""
    (segment,) = moments[0].alternatives
    assert segment.earned == Earned(0.9)
    logits = network.choose(network(torch.from_numpy(segment.inputs).unsqueeze(0))[0][0])
    logprobs = logits.log_softmax(-1).detach()
    return sum(float(logprobs[t, a]) for t, a in enumerate(segment.actions.tolist()) if a >= 0)
