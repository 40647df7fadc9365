"""How fast a provider may be asked: so many calls, and so many tokens, in any minute.

Calls wait here, outside the box, in the order in which they came. Tokens are known when an answer
is there: until then a call counts with what went in, reckoned rather too high, and from then on
with what it says, as of then.
"""

import itertools
from collections import deque

import trio

MINUTE = 60.0


class Pace:
    """Lets so many begin in each minute.

    Args:
        calls: So many calls; None is no limit.
        tokens: A call begins only while fewer than so many tokens were used in the last minute.
    """

    def __init__(self, calls: int | None, tokens: int | None = None) -> None:
        self._calls, self._tokens = calls, tokens
        self._begun = deque[float](maxlen=calls)
        self._used: dict[int, tuple[float, int]] = {}  # by call, the oldest first: when, how many
        self._numbers = itertools.count()
        self._order = trio.Lock()
        self._settled = trio.Event()

    async def turn(self, reckoned: int = 0) -> int:
        """Wait until one may begin; return its number.

        Args:
            reckoned: How many tokens it counts with until it is settled.
        """
        number = next(self._numbers)
        if self._calls is None and self._tokens is None:
            return number
        async with self._order:
            if self._calls is not None and len(self._begun) == self._calls:
                await trio.sleep_until(self._begun[0] + MINUTE)
            while self._tokens is not None and self._in_a_minute() >= self._tokens:
                oldest, _ = next(iter(self._used.values()))
                with trio.move_on_at(oldest + MINUTE):
                    await self._settled.wait()
            self._begun.append(trio.current_time())
            self._count(number, reckoned)
        return number

    def settle(self, number: int, tokens: int) -> None:
        """Count a call with what it used, as its answer tells it."""
        if self._tokens is not None:
            self._used.pop(number, None)
            self._count(number, tokens)
            self._settled.set()
            self._settled = trio.Event()

    def _count(self, number: int, tokens: int) -> None:
        if self._tokens is not None:
            self._used[number] = trio.current_time(), tokens

    def _in_a_minute(self) -> int:
        """Return how many tokens were used in the last minute; forget older ones."""
        since = trio.current_time() - MINUTE
        while self._used and next(iter(self._used.values()))[0] <= since:
            del self._used[next(iter(self._used))]
        return sum(tokens for _, tokens in self._used.values())
