"""A policy that answers from the record of an earlier run: the same request, the same answer.

A request is the same when it would have left with the same bytes. One that was made several times
is answered in the order of the record. What was never asked has no answer, and the agent is told: a
replay goes on as far as the agent does what it did, and nothing is made up after that.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import trio

from monastery.runtime.canonical import canonical, sha256
from monastery.runtime.errors import PolicyFailed


class ReplayedPolicy:
    """Answers from a record.

    Args:
        run: The run that it is of, for messages.
        calls: What was asked and answered, in order.
    """

    name = "replayed"

    def __init__(
        self, run: str, calls: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]]
    ) -> None:
        self._run = run
        self._answers: dict[str, deque[Mapping[str, Any]]] = {}
        for asked, answer in calls:
            self._answers.setdefault(sha256(canonical(asked)), deque()).append(answer)

    async def call(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer as it was answered then.

        Raises:
            PolicyFailed: It was not asked then, or not so often.
        """
        await trio.lowlevel.checkpoint()
        left = self._answers.get(sha256(canonical(body)))
        if left is None:
            raise PolicyFailed(f"run {self._run} never made this call")
        if not left:
            raise PolicyFailed(f"run {self._run} did not make this call so often")
        return left.popleft()
