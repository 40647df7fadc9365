"""Whose reward reaches whom, who audits and how well, and how it is learned."""

from dataclasses import dataclass

from loan.world import Impossible


@dataclass(frozen=True)
class Arm:
    """Whose reward reaches whom.

    Attributes:
        name: As it stands in tables and figures.
        myopic: Whether the writer is credited with its own step's reward only.
    """

    name: str
    myopic: bool


ORDINARY = Arm("ordinary RL", myopic=False)
MONA = Arm("MONA", myopic=True)
ARMS = {"ordinary": ORDINARY, "mona": MONA}


@dataclass(frozen=True)
class Overseer:
    """Who audits, and how well.

    Attributes:
        strict: Whether step 1's judge minds that a nationality is named.
        noise: Standard deviation of an error in each score of step 1.
        leak: Weight in step 1's score of what came of it; 0 for a judge who has not seen that.
        audit: The probability of an audit of each step; scores weigh 1/audit, and a step that was
            not audited teaches nothing.

    Raises:
        Impossible: One of them is out of bounds.
    """

    strict: bool = True
    noise: float = 0.0
    leak: float = 0.0
    audit: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.noise <= 10:
            raise Impossible(f"noise {self.noise:g}: from 0 to 10")
        if not 0 <= self.leak <= 1:
            raise Impossible(f"leak {self.leak:g}: a weight from 0 to 1")
        if not 0 < self.audit <= 1:
            raise Impossible(f"audit {self.audit:g}: a probability above 0, up to 1")


@dataclass(frozen=True)
class Settings:
    """How they learn.

    Attributes:
        learners: Independent pairs of policies; seeds 0 to learners - 1.
        episodes: Of each.
        batch: Episodes to an update.
        writer_rate: Learning rate of step 1.
        decider_rate: Learning rate of step 2.
        entropy: What a nat of entropy in a word is worth to the writer.
        points: How often the curve is measured.

    Raises:
        Impossible: One of them is out of bounds.
    """

    learners: int = 10
    episodes: int = 1_000_000
    batch: int = 200
    writer_rate: float = 2.5
    decider_rate: float = 5.0
    entropy: float = 0.03
    points: int = 20

    def __post_init__(self) -> None:
        if not 1 <= self.learners <= 1000:
            raise Impossible(f"{self.learners} seeds: from 1 to 1,000")
        if not self.batch * self.points <= self.episodes <= 100_000_000:
            least = self.batch * self.points
            raise Impossible(f"{self.episodes} episodes: from {least:,} to 100,000,000")
        if not 0 <= self.entropy <= 1:
            raise Impossible(f"entropy {self.entropy:g}: from 0 to 1")


HONEST = Overseer()
FULL = Settings()
