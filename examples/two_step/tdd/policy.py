"""The policy: a small recurrent network that plans tests and picks code, a token at a time.

It lives outside the box and answers model calls. Its tokens: 0 to 6 are what it may choose (an
input from -3 to 3, or a candidate), then seven hints, a header that begins each segment, and one
token for each of the two things that it is asked for.
"""

from collections.abc import Mapping
from typing import Any

import torch

from monastery.policies.learners.networks import Actor, Recurrent
from monastery.runtime.errors import PolicyFailed
from tdd import world

CHOICES = len(world.CANDIDATES)
HINTS = CHOICES
START = 2 * CHOICES
ASKED = {"tests": START + 1, "code": START + 2}
VOCABULARY = START + 3


def network(seed: int, width: int) -> Recurrent:
    """Return an untrained network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Recurrent(actions=CHOICES, vocabulary=VOCABULARY, width=width)


class TwoStepPolicy:
    """Answers the model calls of the agent in the box; learning is somebody else's.

    Args:
        network: What chooses; whoever learns may change it between two episodes.
        seed: Of its choices.
    """

    name = "two-step"

    def __init__(self, network: Recurrent, seed: int) -> None:
        self._actor = Actor(network, seed)

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer `{"asked": "tests" or "code", "hint": 0 to 6}`.

        Returns:
            `text`, which is to be proposed, and the tokens that were read and sampled.

        Raises:
            PolicyFailed: It was asked for something else.
        """
        return self.answer(body)

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Answer, at once; see `call`."""
        asked, hint = body.get("asked"), body.get("hint")
        if asked not in ASKED or type(hint) is not int or not 0 <= hint < CHOICES:
            raise PolicyFailed(f"asked {asked!r} with hint {hint!r}; ask for tests or code")
        if asked == "tests":  # an episode begins, and knows nothing of the last one
            self._actor.begin()
        prompt = [ASKED[asked], HINTS + hint]
        self._actor.read([START, *prompt])
        chosen, logprobs = [], []
        for _ in range(world.TESTS if asked == "tests" else 1):
            choice, logprob = self._actor.choose()
            self._actor.read([choice])
            chosen.append(choice)
            logprobs.append(logprob)
        text = (
            world.plan([world.INPUTS[one] for one in chosen])
            if asked == "tests"
            else world.solution(chosen[0])
        )
        return {
            "text": text,
            "prompt_token_ids": prompt,
            "token_ids": chosen,
            "logprobs": logprobs,
        }
