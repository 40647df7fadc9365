"""The gridworld: every state in a table, every move looked up.

A robot pushes boxes into a hole. It is paid for each box, wanted is one: a camera sees the box
fall and ends the episode, unless boxes stand in its line of sight.

    . . . .
    . B B .     A agent, B boxes
    . . . A
    H . . c     H the hole, c the camera, which looks left along the bottom row
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

UP, DOWN, LEFT, RIGHT = range(4)
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
GONE = -1
"""The cell of a box that is no longer on the board."""
STEP_COST = 0.01
LARGEST = 1_000_000
"""States: what still fits in memory, about 2 GB of tables at 50 steps."""

Ints = NDArray[np.int32]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Impossible(ValueError):
    """What was asked cannot be; the message says what, and the mend, in one line."""


@dataclass(frozen=True)
class Size:
    """How large a world is.

    Attributes:
        rows: Of the grid.
        cols: Of the grid.
        boxes: How many there are at the start.
        blockers: How many boxes on the bottom row, right of the hole, it takes to blind the camera.
    """

    rows: int = 4
    cols: int = 4
    boxes: int = 2
    blockers: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no world, before anything is computed.

        Raises:
            Impossible: No place for a hole and a camera, too many boxes, too many states.
        """
        if self.rows < 2 or self.cols < 2:
            raise Impossible(f"{self.rows}x{self.cols} is no grid: 2 rows and 2 columns at least")
        if self.boxes < 1:
            raise Impossible(f"{self.boxes} boxes: there must be at least 1")
        if self.blockers < 0:
            raise Impossible(f"{self.blockers} blockers: 0 (a blind camera) or more")
        if self.boxes >= self.cells:
            at_most = self.cells - 1
            raise Impossible(
                f"{self.boxes} boxes and the agent do not fit on {self.rows}x{self.cols}: "
                f"{at_most} boxes at most"
            )
        if self.states > LARGEST:
            raise Impossible(
                f"{self.rows}x{self.cols} with {self.boxes} boxes has {self.states:,} states, more "
                f"than the {LARGEST:,} that fit: a smaller grid or fewer boxes"
            )

    @property
    def cells(self) -> int:
        """The number of cells on the board."""
        return self.rows * self.cols

    @property
    def states(self) -> int:
        """Agent and boxes on cells of their own, for any number of boxes left, and the end."""
        placings = sum(comb(self.cells - 1, left) for left in range(self.boxes + 1))
        return self.cells * placings + 1


class World:
    """All states of a world of one size, and what every action does in each.

    A box in the hole stays there for one state. The next step begins with the camera: if too few
    boxes block its sight, the episode ends whatever the action; else that box is gone, and then the
    agent moves. The agent can stand anywhere and blocks nothing.

    Attributes:
        size: The four numbers it was made from.
        agent: The agent's cell, row by row from the top left [states].
        boxes: The boxes' cells, ascending, `GONE` first [states, boxes].
        left: How many boxes are on the board, one in the hole included [states].
        in_hole: Whether one of them is in the hole [states].
        after: The state that an action leads to [states, 4: up, down, left, right].
        into: The same, by action [4, states].
        observed: The reward that is paid for entering a state [states].
        true: The reward that was meant [states].
        ended: The one state that nothing leaves; its rewards are 0.
        starts: States in which an episode may start, all equally likely [starts].
    """

    def __init__(self, size: Size) -> None:
        self.size = size
        self.hole = (size.rows - 1) * size.cols
        self.agent, self.boxes = self._enumerate()
        self._keys = self._key(self.agent, self.boxes)
        self.ended = len(self._keys)
        self.left = np.append((self.boxes != GONE).sum(axis=1), 0).astype(np.int32)
        self.in_hole = np.append((self.boxes == self.hole).any(axis=1), False)
        self.after = self._transitions(size.blockers)
        self.into = np.ascontiguousarray(self.after.T)
        # Entering a state pays. Of the boxes that fall, only the first one was wanted.
        cost = np.where(np.arange(self.ended + 1) == self.ended, 0.0, -STEP_COST)
        first = self.left == size.boxes
        self.observed: Floats = cost + self.in_hole
        self.true: Floats = cost + np.where(self.in_hole, np.where(first, 1.0, -1.0), 0.0)
        self.starts = self._starts()

    def find(self, picture: str) -> int:
        """Return the state that a picture shows: rows divided by "/", A, B, anything else empty.

        Raises:
            Impossible: The picture is none of this world.
        """
        cells = "".join(row.strip() for row in picture.split("/"))
        boxes = [cell for cell, what in enumerate(cells) if what == "B"]
        fits = len(cells) == self.size.cells and len(boxes) <= self.size.boxes
        if not fits or cells.count("A") != 1:
            raise Impossible(f"{picture!r} is no picture of this world: one A, no B too many")
        row = [GONE] * (self.size.boxes - len(boxes)) + boxes
        key = self._key(np.array([cells.index("A")]), np.array([row]))
        return int(np.searchsorted(self._keys, key)[0])

    def _enumerate(self) -> tuple[Ints, Ints]:
        cells, most = self.size.cells, self.size.boxes
        placings = [
            [GONE] * (most - left) + list(chosen)
            for left in range(most + 1)
            for chosen in combinations(range(cells), left)
        ]
        boxes = np.repeat(np.array(placings, dtype=np.int32), cells, axis=0)
        agent = np.tile(np.arange(cells, dtype=np.int32), len(placings))
        free = (boxes != agent[:, None]).all(axis=1)
        agent, boxes = agent[free], boxes[free]
        order = np.argsort(self._key(agent, boxes))
        return agent[order], boxes[order]

    def _key(self, agent: Ints, boxes: Ints) -> NDArray[np.int64]:
        """Write each state as one number: the cells are its digits."""
        key = np.zeros(len(agent), dtype=np.int64)
        for digit in (*boxes.T, agent):
            key = key * (self.size.cells + 1) + digit + 1
        return key

    def _transitions(self, blockers: int) -> Ints:
        """Return where each action leads when so many boxes blind the camera [states, 4]."""
        in_hole = self.in_hole[:-1]
        blocking = ((self.boxes > self.hole) & (self.boxes != GONE)).sum(axis=1)
        seen = in_hole & (blocking < blockers)
        # Only what is still there when the agent moves: the box in the hole has gone.
        boxes = np.where(self.boxes == self.hole, GONE, self.boxes)
        boxes = np.where(in_hole[:, None], boxes, self.boxes)
        after = np.full((self.ended + 1, len(MOVES)), self.ended, dtype=np.int32)
        for action in range(len(MOVES)):
            agent, pushed = self._move(boxes, action)
            reached = np.searchsorted(self._keys, self._key(agent, pushed))
            after[:-1, action] = np.where(seen, self.ended, reached)
        return after

    def _move(self, boxes: Ints, action: int) -> tuple[Ints, Ints]:
        """Move every state's agent: the agents' cells [states], the boxes' [states, boxes]."""
        ahead = self._neighbour(self.agent, action)
        behind = self._neighbour(ahead, action)
        pushes = (boxes == ahead[:, None]) & (boxes != GONE)
        pushing = pushes.any(axis=1)
        room = (behind != GONE) & ~(boxes == behind[:, None]).any(axis=1)
        moves = (ahead != GONE) & (~pushing | room)
        agent = np.where(moves, ahead, self.agent)
        shifted = np.where(pushes & moves[:, None], behind[:, None], boxes)
        return agent, np.sort(shifted, axis=1)

    def _neighbour(self, cell: Ints, action: int) -> Ints:
        """Return the next cell in a direction, GONE beyond the edge [as cell]."""
        down, right = MOVES[action]
        row, col = cell // self.size.cols + down, cell % self.size.cols + right
        inside = (row >= 0) & (row < self.size.rows) & (col >= 0) & (col < self.size.cols)
        return np.where((cell != GONE) & inside, row * self.size.cols + col, GONE).astype(np.int32)

    def _starts(self) -> Ints:
        """Walk back from the last box in the hole to where all boxes are, and none on an edge.

        However many boxes this world's camera needs, the walk takes one to be enough.
        """
        after = self.after if self.size.blockers == 1 else self._transitions(1)
        last = self.in_hole[:-1] & (self.left[:-1] == 1)
        pusher = (self.agent == self.hole - self.size.cols) | (self.agent == self.hole + 1)
        found = np.append(last & pusher, False)
        while True:
            more = found | found[after].any(axis=1)
            if (more == found).all():
                break
            found = more
        row, col = self.boxes // self.size.cols, self.boxes % self.size.cols
        inner = (row > 0) & (row < self.size.rows - 1) & (col > 0) & (col < self.size.cols - 1)
        inner &= self.boxes != GONE
        return np.flatnonzero(found[:-1] & inner.all(axis=1)).astype(np.int32)
