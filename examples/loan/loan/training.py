"""Two policies, trained by policy gradients on the episodes that they play.

Step 1, the writer: sees an application and chooses the words of a summary. It is judged.
Step 2, the decider: sees the summary and nothing else, grants or denies, and is paid 1 when that
agrees with the label.

Both are tables of preferences, learned by REINFORCE with a constant baseline (Williams 1992) and a
little entropy for the writer. `policies/learners` has the same as `SoftmaxTable`, one moment at a
time; this goes through whole batches of many learners at once, and a test holds it to that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from loan.arms import Arm, Overseer, Settings
from loan.outcome import Outcome, outcome
from loan.summary import CHOICES, PLACES, SUMMARIES, approvals, number
from loan.world import APPLICATIONS, Floats, Ints, World

Tick = Callable[[], None]
COIN = 0.5
"""What a decision is compared with: agreement by chance."""

PERFECT = 1.0
"""What a summary is compared with: the best score there is, so that where all that is written has
that score, nothing is learned."""


@dataclass(frozen=True)
class Batch:
    """What was played, [learners, episodes] each if not said otherwise.

    Attributes:
        application: What came in.
        words: What was written [learners, episodes, 4].
        decision: 1 for grant.
        score: Of step 1, by its judge, with all that is wrong with that.
        agreement: Of step 2's decision with the label, 0 or 1.
        audited: Whether each step was [2, learners, episodes].
    """

    application: Ints
    words: Ints
    decision: Ints
    score: Floats
    agreement: Floats
    audited: Floats


class Draws:
    """Chance, of each learner its own, so that one learner does not hang on how many there are."""

    def __init__(self, learners: int, batch: int) -> None:
        self._of = [np.random.default_rng(seed) for seed in range(learners)]
        self._batch = batch

    def next(self) -> Floats:
        """Return numbers from [0, 1), evenly [learners, episodes]."""
        return np.stack([one.random(self._batch) for one in self._of])

    def normal(self) -> Floats:
        """Return numbers of mean 0 and standard deviation 1 [learners, episodes]."""
        return np.stack([one.standard_normal(self._batch) for one in self._of])


class Pair:
    """Writers and deciders, one of each for each learner.

    Attributes:
        writer: Preferences of words [learners, A, 4, 5].
        decider: Preferences of decisions [learners, S, 2].
    """

    def __init__(self, learners: int) -> None:
        self.writer = np.zeros((learners, APPLICATIONS, PLACES, CHOICES))
        self.decider = np.zeros((learners, SUMMARIES, 2))
        self._one = np.arange(learners)[:, None]

    def play(self, world: World, overseer: Overseer, judged: Floats, draws: Draws) -> Batch:
        """Play a batch of episodes with each learner.

        Args:
            world: The applications.
            overseer: Who audits them.
            judged: The judge's score of each summary [A, S].
            draws: From which chance comes.
        """
        application = (draws.next() * APPLICATIONS).astype(np.int64)
        chance = softmax(self.writer)[self._one, application]  # [learners, episodes, 4, 5]
        points = np.stack([draws.next() for _ in range(PLACES)], axis=-1)
        words = sample(chance, points)
        summary = number(words)
        decision = sample(softmax(self.decider[self._one, summary]), draws.next())
        label = draws.next() < world.label[application]
        agreement = np.where(decision == label, 1.0, 0.0)
        score = judged[application, summary] + overseer.leak * agreement
        score = score + overseer.noise * draws.normal()
        audited = np.stack([draws.next() < overseer.audit for _ in range(2)])
        return Batch(application, words, decision, score, agreement, audited.astype(float))

    def learn(self, batch: Batch, arm: Arm, overseer: Overseer, settings: Settings) -> None:
        """Change both by the mean over all episodes, audited or not."""
        worth, baseline = batch.score, PERFECT + overseer.leak * COIN
        if not arm.myopic:
            worth, baseline = worth + batch.agreement, baseline + COIN
        weights = batch.audited / overseer.audit
        episodes = batch.decision.shape[1]
        here = (self._one, batch.application)
        table = softmax(self.writer)
        wanted = (weights[0] * (worth - baseline))[..., None, None]  # [learners, episodes, 1, 1]
        change = wanted * (_chosen(batch.words, CHOICES) - table[here])
        change += settings.entropy * weights[0][..., None, None] * _widening(table)[here]
        np.add.at(self.writer, here, settings.writer_rate / episodes * change)

        there = (self._one, number(batch.words))
        wanted = (weights[1] * (batch.agreement - COIN))[..., None]
        change = wanted * (_chosen(batch.decision, 2) - softmax(self.decider[there]))
        np.add.at(self.decider, there, settings.decider_rate / episodes * change)


@dataclass(frozen=True)
class Curve:
    """What was learned.

    Attributes:
        episodes: Of each learner so far [points].
        outcomes: What both policies bring about, exactly [points][learners].
        pair: They, at the end.
    """

    episodes: list[int]
    outcomes: list[list[Outcome]]
    pair: Pair


def idle() -> None:
    """Do nothing."""


def train(
    world: World, arm: Arm, overseer: Overseer, settings: Settings, tick: Tick = idle
) -> Curve:
    """Train all learners; the same settings give the same curve.

    Args:
        world: The applications and labels.
        arm: Whose reward reaches whom.
        overseer: Who audits.
        settings: How they learn.
        tick: Called `settings.points` times.
    """
    pair, draws = Pair(settings.learners), Draws(settings.learners, settings.batch)
    judged, strict = approvals(strict=overseer.strict), approvals()
    curve = Curve([], [], pair)
    updates = settings.episodes // settings.batch
    for done in range(1, updates + 1):
        pair.learn(pair.play(world, overseer, judged, draws), arm, overseer, settings)
        if done % (updates // settings.points) == 0 and len(curve.episodes) < settings.points:
            curve.episodes.append(done * settings.batch)
            curve.outcomes.append(list(measure(world, strict, pair)))
            tick()
    return curve


def measure(world: World, judged: Floats, pair: Pair) -> Iterator[Outcome]:
    """Yield what each learner's policies bring about."""
    for writer, decider in zip(softmax(pair.writer), softmax(pair.decider), strict=True):
        yield outcome(world, judged, writer, decider)


def softmax(preference: Floats) -> Floats:
    """Return probabilities over the last axis."""
    raised = np.exp(preference - preference.max(axis=-1, keepdims=True))
    chance: Floats = raised / raised.sum(axis=-1, keepdims=True)
    return chance


def sample(chance: Floats, points: Floats) -> Ints:
    """Choose by numbers from [0, 1), from probabilities [..., C] and [...] -> [...]."""
    passed = chance.cumsum(axis=-1)[..., :-1] <= points[..., None]
    chosen: Ints = passed.sum(axis=-1)
    return chosen


def _chosen(choice: Ints, choices: int) -> Floats:
    one_hot: Floats = np.eye(choices)[choice]
    return one_hot


def _widening(chance: Floats) -> Floats:
    """Return the gradient of each row's entropy in its preferences."""
    nats = np.log(chance)
    entropy = -(chance * nats).sum(axis=-1, keepdims=True)
    gradient: Floats = -chance * (nats + entropy)
    return gradient
