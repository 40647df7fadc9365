"""What stands outside the box: who publishes tests, who takes code, and who judges both."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import trio

from monastery.runtime.errors import AuditFailed, BadPayload
from monastery.runtime.ports import Box, Executor, Forkable, Sandbox
from monastery.runtime.project import STANDARD_IMAGE
from monastery.runtime.records import (
    BoxSpec,
    Case,
    ModelRequest,
    Outcome,
    RunId,
    Step,
    Vote,
)
from tdd import world

INSIDE = Path(__file__).resolve().parents[1] / "box"


def episode_of(index: int) -> int:
    """Return the episode, from 0, that a step is of; steps are counted from 1."""
    return (index - 1) // 2


def code_of(payload: bytes) -> bytes:
    """Return the code that a step of kind `file` hands over.

    Raises:
        NotOfThisWorld: It hands over something else.
    """
    try:
        files = json.loads(payload)["files"]
        if set(files) == {"solution.py"}:
            return str(files["solution.py"]["text"]).encode()
    except (ValueError, TypeError, KeyError):
        pass
    raise world.NotOfThisWorld("the step hands over something else than solution.py, as text")


class Publishes:
    """Carries out the first step of an episode: the specification's owner publishes the tests.

    Args:
        kind: Of the steps: `plan`, or `ask` where the agent asked first.
        seed: Of the tasks.
    """

    def __init__(self, kind: str, seed: int) -> None:
        self.kind, self._seed = kind, seed

    def check(self, payload: bytes) -> None:
        """Refuse what is no plan of tests."""
        try:
            world.planned(payload)
        except world.NotOfThisWorld as exc:
            raise BadPayload(str(exc)) from exc

    def render(self, payload: bytes) -> str:
        """Return the plan."""
        return payload.decode()

    async def execute(self, step: Step) -> Outcome:
        """Publish the tests, with what is expected of each."""
        await trio.lowlevel.checkpoint()
        if step.index % 2 == 0:
            return Outcome("failed", {"reason": "the tests are published; code is to follow"})
        task = world.task(self._seed, episode_of(step.index))
        tests = world.published(world.planned(step.payload), task.specification)
        return Outcome("done", {"hint": task.hint, "tests": tests})

    async def reconcile(self, step: Step) -> Outcome | None:
        """Publish: it is the same however often."""
        return await self.execute(step)


class Takes:
    """Carries out the second: the code is delivered, and the next episode's hint told.

    Args:
        delivers: The runtime's own executor of kind `file`.
        seed: Of the tasks.
    """

    kind = "file"

    def __init__(self, delivers: Executor, seed: int) -> None:
        self._delivers, self._seed = delivers, seed

    def check(self, payload: bytes) -> None:
        """Refuse what is no file that can be delivered, or none of the solutions."""
        self._delivers.check(payload)
        try:
            world.solved(code_of(payload))
        except world.NotOfThisWorld as exc:
            raise BadPayload(str(exc)) from exc

    def render(self, payload: bytes) -> str:
        """Return the code."""
        return self._delivers.render(payload)

    async def execute(self, step: Step) -> Outcome:
        """Deliver the code; whether it is what was wanted is not told."""
        return self._on(step, await self._delivers.execute(step))

    async def reconcile(self, step: Step) -> Outcome | None:
        """Deliver what is missing."""
        outcome = await self._delivers.reconcile(step)
        return None if outcome is None else self._on(step, outcome)

    def _on(self, step: Step, outcome: Outcome) -> Outcome:
        task = world.task(self._seed, episode_of(step.index) + 1)
        return Outcome(outcome.status, {**outcome.content, "hint": task.hint})


class Judge:
    """A box of the auditor's own, in which real pytest runs published tests on proposed code.

    What the agent says of its tests is not believed, and its code runs nowhere else.
    """

    def __init__(self, box: Box) -> None:
        self._box = box
        self._turn = trio.Lock()
        self._waiting: int | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, sandbox: Sandbox) -> AsyncIterator["Judge"]:
        """Open it; it is removed when the block ends."""
        run = RunId(f"two-step-judge-{uuid4().hex[:12]}")
        files = tuple((name, str(INSIDE / name)) for name in ("judge.py", "suite.py"))
        try:
            async with sandbox.open(run, BoxSpec(STANDARD_IMAGE, files=files)) as box:
                await box.start_agent(["python3", "judge.py"], env={}, history=b"[]")
                judge = cls(box)
                await judge._told()
                yield judge
        finally:
            with trio.CancelScope(shield=True):
                await sandbox.forget(run)

    async def passed(self, tests: str, code: bytes) -> float:
        """Return the share of the tests that the code passes.

        Raises:
            AuditFailed: No test ran.
        """
        async with self._turn:
            assert self._waiting is not None, "it asks for work, or broke and was not asked again"
            files = {"test_solution.py": tests, "solution.py": code.decode()}
            await self._box.answer(self._waiting, {"files": files})
            told = await self._told()
        count = told["passed"] + told["failed"]
        if count == 0:
            raise AuditFailed("no test ran")
        return float(told["passed"] / count)

    async def _told(self) -> Mapping[str, Any]:
        self._waiting = None
        said = await self._box.receive()
        if not isinstance(said, ModelRequest):
            raise AuditFailed(f"the auditor's box does not work: {said}")
        self._waiting = said.call
        told: Mapping[str, Any] = said.body["told"]
        return told


class Overseer:
    """The auditor of both steps. It judges what is proposed, before anything comes of it.

    Args:
        judge: Runs tests.
        seed: Of the tasks; used to hold pytest against what the world itself says.
    """

    name = "overseer"

    def __init__(self, judge: Judge, seed: int) -> None:
        self._judge, self._seed = judge, seed

    async def judge(self, case: Case, box: Forkable) -> Vote:
        """Say how well tests pin the specification down, or what share of them code passes.

        Raises:
            AuditFailed: The tests could not be run, or pytest and the world do not agree.
        """
        proposal, expected = case.proposal, "tests" if case.proposal.index % 2 else "code"
        try:
            if (proposal.kind == "file") != (expected == "code"):
                return Vote(self.name, "reject", 0.0, f"it is time for {expected}")
            if expected == "tests":
                await trio.lowlevel.checkpoint()
                worth = world.tests_worth(world.planned(proposal.payload))
            else:
                worth = await self._code(case)
        except world.NotOfThisWorld as exc:
            return Vote(self.name, "reject", 0.0, str(exc))
        return Vote(self.name, "approve", worth)

    async def _code(self, case: Case) -> float:
        last, code = case.earlier[-1], code_of(case.proposal.payload)
        candidate = world.solved(code)
        found = await self._judge.passed(last.content["tests"], code)
        task = world.task(self._seed, episode_of(case.proposal.index))
        known = world.passed(world.planned(last.payload), task.specification, candidate)
        if found != known:
            raise AuditFailed(f"pytest passes {found:.3f} of the tests, the world {known:.3f}")
        return found
