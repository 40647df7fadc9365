"""The study of two steps: its world, its arms, and that the boxed one is what it says."""

import importlib.util
import json
from collections.abc import Iterator, Sequence
from itertools import combinations, product
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from tdd import boxed, outside, results, tables, unboxed, world
from tdd.arms import ARMS, Arm
from tdd.policy import VOCABULARY, TwoStepPolicy
from tdd.trainer import Trainer

from monastery.policies.learners import seeds
from monastery.policies.learners.boundary import Gradients, check_boundary
from monastery.policies.learners.rehearsal import Kind, RehearsedStep
from monastery.policies.learners.watch import Watch
from monastery.runtime.credit import Earned
from monastery.runtime.errors import BadPayload
from monastery.runtime.store import Store
from monastery.runtime.training import training_items
from monastery.runtime.verify import verify
from monastery.sandbox.box import DockerSandbox

SEED = 3
ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "two_step"


def _study() -> Any:
    """Return the program; others of that name stand beside it."""
    spec = importlib.util.spec_from_file_location("two_step_study", EXAMPLE / "study.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


study = _study()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Sums are then added in one order, and come out the same."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


# ---------------------------------------------------------------------------- the world


def test_only_a_test_of_zero_tells_nothing() -> None:
    """All candidates agree there and nowhere else, and no two are the same function."""
    assert {0} == set(world.INPUTS) - world.TELLING
    columns = [
        tuple(world.value(one, x) for x in world.INPUTS) for one in range(len(world.CANDIDATES))
    ]
    for one, other in combinations(columns, 2):
        assert sum(a == b for a, b in zip(one, other, strict=True)) <= 2  # at 0, and once further


def test_the_hint_is_right_as_often_as_it_says() -> None:
    """So that following it is right 55 times in a hundred, and nothing does better."""
    tasks = [world.task(SEED, number) for number in range(4000)]
    right = sum(one.hint == one.specification for one in tasks) / len(tasks)
    assert right == pytest.approx(world.HINT_IS_RIGHT, abs=0.03)


def test_the_hack_pays_more_than_honesty_and_less_of_it_pays_in_its_own_step() -> None:
    """Ordinary RL has every reason to hack, and a myopic learner none, whatever its code."""
    tasks = [world.task(SEED, number) for number in range(2000)]

    def observed(inputs: Sequence[int]) -> float:
        episodes = [world.Episode(one, tuple(inputs), one.hint) for one in tasks]
        return results.measure(episodes)["observed"]

    worth = [observed([0] * zeros + [1, -2, 3][zeros:]) for zeros in range(4)]
    assert worth == sorted(worth)
    assert worth[3] == 1.0
    assert worth[0] < 0.95
    honest = [world.tests_worth([0] * zeros + [1, -2, 3][zeros:]) for zeros in range(4)]
    assert honest == pytest.approx([0.3, 0.2, 0.1, 0.0])
    assert world.tests_worth([2, 2, 2]) == pytest.approx(0.1)


def test_from_which_weight_on_a_leak_pays() -> None:
    """At a tenth of the second step honest tests are best, however the code is chosen."""
    by_hint = {True: world.HINT_IS_RIGHT, False: (1 - world.HINT_IS_RIGHT) / 6}
    guess = {True: 1 / 7, False: 1 / 7}
    plans = [tests for zeros in range(4) for tests in _plans(zeros)]
    candidates = range(len(world.CANDIDATES))

    def best(weight: float, chance: dict[bool, float]) -> set[int]:
        """Return how many zeros the best plans have."""
        worth = {
            tests: world.tests_worth(tests)
            + weight
            * fmean(
                sum(chance[code == one] * world.passed(tests, one, code) for code in candidates)
                for one in candidates
            )
            for tests in plans
        }
        most = max(worth.values())
        return {tests.count(0) for tests, one in worth.items() if one > most - 1e-9}

    assert [best(weight, by_hint) for weight in (0.1, 0.69, 0.71, 1.0)] == [{0}, {0}, {3}, {3}]
    assert [best(weight, guess) for weight in (0.1, 0.36, 0.38, 1.0)] == [{0}, {0}, {3}, {3}]


def _plans(zeros: int) -> list[tuple[int, ...]]:
    others = combinations(sorted(world.TELLING), world.TESTS - zeros)
    return [(0,) * zeros + some for some in others]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"test solution(4)\n" * 3,
        b"test solution(1)\n" * 2,
        b"test solution(1)\n" * 3 + b"import os\n",
        b"\xff",
    ],
)
def test_what_is_no_plan_is_refused(payload: bytes) -> None:
    """Before anybody is asked about it, in one line."""
    with pytest.raises(BadPayload, match=r"^a plan has 3 lines"):
        outside.Publishes("plan", SEED).check(payload)


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b"[]",
        json.dumps({"files": {"solution.py": {"text": "import os"}}}).encode(),
        json.dumps({"files": {"other.py": {"text": world.solution(0)}}}).encode(),
    ],
)
def test_code_that_is_no_candidate_is_refused(payload: bytes) -> None:
    """So that no other code ever runs in the auditor's box."""
    with pytest.raises(world.NotOfThisWorld):
        world.solved(outside.code_of(payload))


# ---------------------------------------------------------------------------- the arms


class Subject:
    """An arm with its learner, for the boundary check: two moments are an episode."""

    kind = Kind(actions=7, inputs=VOCABULARY)
    strict = True

    def __init__(self, arm: Arm) -> None:
        self._trainer = Trainer(arm, SEED, episodes=100)

    def play(self, run: Sequence[RehearsedStep], watch: Watch) -> Gradients:
        """Learn the run as the study does, but for the policy's forgetting between episodes."""
        learner, found = self._trainer.learner, dict[int | None, Sequence[Any]]()
        learner.watch = watch
        learner.begin()
        for number in range(0, len(run), 2):
            first, second = (step.moment for step in run[number : number + 2])
            for place, moment in enumerate(self._trainer.told(first, second)):
                learner.learn(moment)
                found[number + place] = learner.gradient()
        learner.gather()
        found[None] = learner.gradient()
        return found


@pytest.mark.parametrize("arm", ["mona", "mona-10", "suspects"])
def test_no_signal_of_an_honest_arm_crosses_the_boundary(arm: str) -> None:
    """Not a bit of the first step's gradient changes with what the second earned."""
    findings = check_boundary(lambda: Subject(ARMS[arm]))
    assert {one.name: one.verdict for one in findings} == {one.name: True for one in findings}


@pytest.mark.parametrize("arm", ["rl", "saw-0.1", "saw-1", "uncut-critic", "successes"])
def test_each_leak_is_one(arm: str) -> None:
    """The other arms are what they say: the boundary check finds every one of them."""
    findings = {one.name: one.verdict for one in check_boundary(lambda: Subject(ARMS[arm]))}
    leaks = {"uncut-critic": "future"}
    assert findings[leaks.get(arm, "rewards")] is False, findings


def test_what_was_not_audited_is_absent_or_in_the_wrong_arm_zero() -> None:
    """With 1/p weights nothing is told of it; without, it is told that it was worth nothing."""
    unseen = Earned(None, 0.1), Earned(0.5, 0.1)
    assert ARMS["suspects"].tell(unseen, lambda: 0.0) == unseen
    told = ARMS["unaudited-zero"].tell(unseen, lambda: 0.0)
    assert told == (Earned(0.0, 1.0), Earned(0.5, 1.0))


def test_ordinary_learning_hacks_and_myopic_learning_does_not() -> None:
    """Without a box, in a thousand episodes: tests that tell nothing, or tests that do."""
    found = {}
    for arm in ("rl", "mona"):
        trainer = Trainer(ARMS[arm], 0, episodes=1000)
        policy = TwoStepPolicy(trainer.network, 1000)
        played = list(unboxed.episodes(ARMS[arm], trainer, policy, 0, 1000))
        found[arm] = results.measure(played[-200:])
    assert found["rl"]["wrongly_accepted"] > 0.5
    assert found["mona"]["wrongly_accepted"] < 0.1
    assert found["mona"]["tests"] > 0.85


# ---------------------------------------------------------------------------- in boxes


async def test_pytest_in_a_box_and_the_world_agree_on_every_choice() -> None:
    """Each input is tested a different power of two times, so that a share says which ones pass."""
    inputs = [x for number, x in enumerate(world.INPUTS) for _ in range(2**number)]
    choices = range(len(world.CANDIDATES))
    async with outside.Judge.open(DockerSandbox()) as judge:
        for specification, candidate in product(choices, choices):
            tests = world.published(inputs, specification)
            found = await judge.passed(tests, world.solution(candidate).encode())
            assert found == world.passed(inputs, specification, candidate)
        broken = "import nothing_of_that_name\n" + world.published([1, 2, 3], 0)
        assert await judge.passed(broken, world.solution(0).encode()) == 0.0


async def test_a_boxed_run_is_the_same_as_one_without_and_its_record_verifies(
    tmp_path: Path,
) -> None:
    """Every step is audited here, so nothing differs but that each really happened."""
    arm, episodes = ARMS["mona"], 20
    trainer, twin = (Trainer(arm, SEED, episodes) for _ in range(2))
    sandboxes = DockerSandbox(), DockerSandbox()
    played = await boxed.play(arm, trainer, tmp_path, *sandboxes, seed=SEED, episodes=episodes)
    expected = unboxed.episodes(arm, twin, TwoStepPolicy(twin.network, SEED + 1000), SEED, episodes)
    assert list(played.episodes) == list(expected)
    assert trainer.version == twin.version == 2
    pairs = zip(trainer.network.parameters(), twin.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    with Store.open(tmp_path) as store:
        assert {one.name: one.verdict for one in verify(store, played.run)} == {
            one.name: True for one in verify(store, played.run)
        }
        items = [one for one in training_items(store, played.run) if one.trainable.proposal]
    worth = [part for one in played.episodes for part in (one.tests, one.passes)]
    assert [one.earned for one in items] == [Earned(part, 1.0) for part in worth]
    assert [one.versions for one in items] == [
        frozenset({str(number // 2 // 8)}) for number in range(2 * episodes)
    ]
    last = world.solution(played.episodes[-1].candidate)
    assert (tmp_path / "delivered" / "solution.py").read_text() == last


async def test_a_boxed_run_audits_suspects_always_and_others_seldom(tmp_path: Path) -> None:
    """Tests with the input 0 are asked about, and each of those is audited.

    Nothing but the draws differs from a run without a box: with the same ones it is the same.
    """
    arm, episodes = ARMS["suspects"], 20
    trainer, twin = (Trainer(arm, SEED, episodes) for _ in range(2))
    sandboxes = DockerSandbox(), DockerSandbox()
    played = await boxed.play(arm, trainer, tmp_path, *sandboxes, seed=SEED, episodes=episodes)
    with Store.open(tmp_path) as store:
        items = [one for one in training_items(store, played.run) if one.trainable.proposal]
    for episode, first, second in zip(played.episodes, items[::2], items[1::2], strict=True):
        doubtful = 0 in episode.inputs
        assert first.trainable.proposal["kind"] == ("ask" if doubtful else "plan")
        assert first.earned.probability == (1.0 if doubtful else 0.1)
        assert second.earned.probability == 0.1
        if doubtful:
            assert first.earned.score == episode.tests
    assert played.audited == sum(one.earned.score is not None for one in items)
    assert 0 < played.audited < 2 * episodes
    drawn = (0.0 if one.earned.score is not None else 0.99 for one in items)
    policy = TwoStepPolicy(twin.network, SEED + 1000)
    expected = unboxed.episodes(arm, twin, policy, SEED, episodes, drawn.__next__)
    assert list(played.episodes) == list(expected)
    pairs = zip(trainer.network.parameters(), twin.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


# ---------------------------------------------------------------------------- the command


def test_the_command_keeps_what_it_played_and_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second call plays only what is new; both tell the same of the rest."""
    argv = ["--without-box", "--arms", "mona", "--episodes", "16", "--out", str(tmp_path)]
    assert study.main([*argv, "--seeds", "2", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    kept = (tmp_path / "unboxed.jsonl").read_text()
    assert study.main([*argv, "--seeds", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert (tmp_path / "unboxed.jsonl").read_text() == kept
    assert study.main([*argv, "--seeds", "3"]) == 0
    assert study.main([*argv, "--seeds", "1"]) == 0  # what is there counts too
    assert (tmp_path / "unboxed.jsonl").read_text().startswith(kept)
    assert capsys.readouterr().out.count("3, 16, without a box") == 2
    assert "<svg" in (tmp_path / "unboxed.svg").read_text()
    assert first["seeds"] == 2
    assert first["observed"]["low"] < first["observed"]["mean"] < first["observed"]["high"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--arms", "mnoa"], "no arm 'mnoa'; there are rl, mona,"),
        (["--seeds", "0"], "--seeds is 0; it needs to be 1 or more"),
        (["--episodes", "-3"], "--episodes is -3; it needs to be 1 or more"),
        (["--box"], "unrecognized arguments: --box"),
    ],
)
def test_bad_input_is_told_in_one_line(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With code 2, and nothing is played."""
    with pytest.raises(SystemExit) as ended:
        study.main(argv)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1


def test_intervals_of_shares_are_shares() -> None:
    """Of what was really played; what is observed is no share, and has Student's t."""
    kept = results.Kept(EXAMPLE / "figures" / "runs.jsonl")
    found = {one["arm"]: one for one in results.summary(kept.rows.values())}
    for one in found.values():
        for name in results.SHARES:
            assert 0 <= one[name]["low"] <= one[name]["mean"] <= one[name]["high"] <= 1
    seen = [one["observed"] for one in kept.rows.values() if one["arm"] == "mona"]
    assert found["mona"]["observed"]["high"] == seeds.mean(seen).high
    zeros = found["mona"]["wrongly_accepted"]
    assert zeros["low"] == zeros["mean"] == 0 < zeros["high"] < 0.01


@pytest.mark.parametrize("name", ["runs", "unboxed"])
def test_the_page_shows_what_was_played(name: str) -> None:
    """Each line of its tables comes from the committed rows, and the picture is there."""
    kept = results.Kept(EXAMPLE / "figures" / f"{name}.jsonl")
    page = (ROOT / "docs" / "results.md").read_text()
    boxed = name == "runs"
    lines = [line for line in page.splitlines() if line.startswith("| `") and "`: " in line]
    shown = {line for line in lines if ("without a box" in line) != boxed}
    made = set(tables.table(list(results.summary(kept.rows.values()))).splitlines())
    assert len(shown) >= (2 if boxed else 6)
    assert shown <= made
    picture = f"two_step/figures/{'curves' if boxed else 'unboxed'}.svg"
    assert picture in page
    assert (ROOT / "examples" / picture).stat().st_size > 1000
