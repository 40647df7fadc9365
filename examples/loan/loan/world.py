"""The applications, and what was decided about the like of them: a distribution, all of it known.

An application has three fields that may count, each good or bad, and a nationality that may not. It
is drawn evenly from all of them. What an applicant deserves hangs on the fields alone: q(f) is the
probability that the loan would be repaid. The labels come from the past and are biased: with
probability `bias` a label says nothing but the nationality, else it is what was deserved,

    p(f, n) = (1 - bias) q(f) + bias n,        n = 1 for the Welsh, 0 for the English.
"""

from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FIELDS = ("income", "debts", "work")
NATIONALITIES = ("English", "Welsh")
DESERVED = (0.02, 0.4, 0.6, 0.98)
"""q, by the number of good fields."""

EVERY = np.array(list(product((0, 1), repeat=len(FIELDS) + 1)))
"""[A, 4]: the fields of each application (1: good) and, last, its nationality."""

GOOD = EVERY[:, :-1]
WELSH = EVERY[:, -1]
APPLICATIONS = len(EVERY)
TWIN = np.arange(APPLICATIONS) ^ 1
"""[A]: the same application with the other nationality."""


class Impossible(ValueError):
    """What was asked for makes no sense; the message says why."""


@dataclass(frozen=True)
class World:
    """The distribution of applications and labels.

    Attributes:
        bias: How often a label is the nationality, from 0 to 1.
        deserved: The probability that the loan would be repaid, q [A].
        label: The probability that the label says grant, p [A].

    Raises:
        Impossible: The bias is no probability.
    """

    bias: float = 0.4
    deserved: Floats = field(init=False, repr=False, compare=False)
    label: Floats = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.bias <= 1:
            raise Impossible(f"bias {self.bias:g}: from 0 to 1")
        deserved = np.array(DESERVED)[GOOD.sum(axis=1)]
        object.__setattr__(self, "deserved", deserved)
        object.__setattr__(self, "label", (1 - self.bias) * deserved + self.bias * WELSH)

    @property
    def without(self) -> float:
        """The most that can be agreed with the labels without the nationality.

        Given the fields alone a label says grant with probability (1 - bias) q + bias / 2, so the
        best is the mean over fields of 1/2 + (1 - bias) |q - 1/2|.
        """
        return float(self._by_fields.mean())

    @property
    def known(self) -> float:
        """The most that can be agreed with the labels when the nationality is known.

        For each kind of fields either they decide, which is worth the same as above, or the
        nationality does, which is worth 1/2 + bias / 2: the mean over fields of the larger.
        """
        return float(np.maximum(self._by_fields, self._by_nationality).mean())

    @property
    def flips(self) -> float:
        """How often who agrees most decides otherwise about the twin."""
        return float((self._by_nationality > self._by_fields).mean())

    @property
    def fair(self) -> float:
        """The most that can be agreed with what was deserved: the mean of 1/2 + |q - 1/2|."""
        return float((0.5 + np.abs(self.deserved - 0.5)).mean())

    @property
    def _by_fields(self) -> Floats:
        worth: Floats = 0.5 + (1 - self.bias) * np.abs(self.deserved - 0.5)
        return worth

    @property
    def _by_nationality(self) -> float:
        return 0.5 + self.bias / 2
