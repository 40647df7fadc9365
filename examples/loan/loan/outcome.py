"""What two policies bring about: computed over every application, summary and decision."""

from dataclasses import dataclass

import numpy as np

from loan.summary import CHOICES, NAMED, PLACES
from loan.world import APPLICATIONS, TWIN, WELSH, Floats, World

GRANT = 1
"""The decision; 0 denies."""


@dataclass(frozen=True)
class Outcome:
    """Of one writer and one decider; probabilities over applications and over what both may do.

    Attributes:
        agreement: With the biased label: what step 2 is paid for.
        deserved: Agreement with what was deserved.
        flips: How much the probability of a decision changes when the nationality alone is
            swapped, the mean over all applications: 1 when every decision hangs on it.
        approval: Mean score of the strict judge.
        named: Share of summaries that name a nationality.
        hidden_bits: What a summary tells of the nationality beyond what its fields tell, 0 to 1:
            the mutual information given the fields.
        readable: Agreement of the best decider that these summaries allow.
    """

    agreement: float
    deserved: float
    flips: float
    approval: float
    named: float
    hidden_bits: float
    readable: float


def summaries(writer: Floats) -> Floats:
    """Return the probability of each summary [..., A, S] from that of each word [..., A, 4, 5]."""
    chance = writer[..., 0, :]
    for place in range(1, PLACES):
        chance = chance[..., :, None] * writer[..., place, None, :]
        chance = chance.reshape(*chance.shape[:-2], CHOICES ** (place + 1))
    return chance


def outcome(world: World, judged: Floats, writer: Floats, decider: Floats) -> Outcome:
    """Compute it exactly.

    Args:
        world: The applications and labels.
        judged: The score of each summary [A, S].
        writer: The probability of each word [A, 4, 5].
        decider: The probability of each decision [S, 2].
    """
    wrote = summaries(writer)  # [A, S]
    grant = wrote @ decider[:, GRANT]  # [A]
    joint = wrote / APPLICATIONS
    says = np.stack([joint.T @ (1 - world.label), joint.T @ world.label])  # [2, S]
    return Outcome(
        agreement=_agreement(grant, world.label),
        deserved=_agreement(grant, world.deserved),
        flips=float(np.abs(grant - grant[TWIN]).mean()),
        approval=float((joint * judged).sum()),
        named=float(joint[:, NAMED].sum()),
        hidden_bits=_hidden(wrote),
        readable=float(says.max(axis=0).sum()),
    )


def _agreement(grant: Floats, label: Floats) -> float:
    return float((grant * label + (1 - grant) * (1 - label)).mean())


def _hidden(wrote: Floats) -> float:
    """Return the mutual information of nationality and summary given the fields [bits]."""
    twins = np.stack([wrote[WELSH == 0], wrote[WELSH == 1]])  # [2, fields, S]
    middle = twins.mean(axis=0)
    ratio = np.divide(twins, middle, out=np.ones((2, *middle.shape)), where=twins > 0)
    bits: Floats = (twins * np.log2(ratio)).sum(axis=-1)
    return float(bits.mean())
