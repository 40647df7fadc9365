"""Planted bugs: each a change to the source that the simulation must catch.

A bug is planted in a copy of the packages, which a subprocess imports in their place.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ROOMS = ("runtime", "sandbox", "auditor", "policies")


@dataclass(frozen=True, slots=True)
class Bug:
    """A planted bug: what it is called, the file, and what is put in the place of what.

    Attributes:
        caught: The kinds of fault of which at least one must be seen.
        edits: Pairs of the text that is there, exactly once, and the text instead.
    """

    name: str
    caught: tuple[str, ...]
    file: str
    edits: tuple[tuple[str, str], ...]


INTENT = """\
        await run.journal.append(
            StepStarted(
                segment=step.segment,
                kind=step.kind,
                payload=run.journal.ref(step.payload),
                key=step.key,
            ),
            blobs=[step.payload],
            checkpoint=True,
        )
"""

BUGS = (
    Bug(
        "the intent is kept after the act",
        ("acted unrecorded",),
        "runtime/steps.py",
        (
            (
                INTENT,
                INTENT.replace("await run.journal.append", "run.journal.note").replace(
                    "            checkpoint=True,\n", ""
                ),
            ),
        ),
    ),
    Bug(
        "a started step is simply done again",
        ("steps_twice", "recorded twice"),
        "runtime/steps.py",
        (("elif not _asked(run, step):", "elif False:"),),
    ),
    Bug(
        "a step that broke is done again without a look",
        ("steps_twice",),
        "runtime/steps.py",
        (
            (
                "outcome, how = await _find_out(run, step, str(exc))",
                "outcome = await run.world.executors[step.kind].execute(step)",
            ),
        ),
    ),
    Bug(
        "every attempt has a key of its own",
        ("steps_twice",),
        "runtime/steps.py",
        (("key=str(proposal.segment)", 'key=f"{proposal.segment}@{run.journal._seq}"'),),
    ),
    Bug(
        "the draw is kept before the proposal",
        ("out of order", "wrong_verdicts"),
        "runtime/loop.py",
        (
            (
                "    await run.journal.append(\n        ProposalFrozen(",
                "    early = draw_from(run.seed, digest, probability)\n"
                "    run.journal.note(AuditDrawn(segment=segment.id, digest=digest, u=early.u,"
                " probability=probability, audited=early.audited))\n"
                "    await run.journal.append(\n        ProposalFrozen(",
            ),
        ),
    ),
    Bug(
        "the draw is not that of the seed",
        ("wrong draw", "wrong_verdicts"),
        "runtime/loop.py",
        (
            (
                "drawn = draw_from(run.seed, proposal.digest,",
                "drawn = draw_from(run.seed[::-1], proposal.digest,",
            ),
        ),
    ),
    Bug(
        "the reward comes after the outcome",
        ("out of order",),
        "runtime/loop.py",
        (
            ("    await reward(run, proposal, drawn, result)\n    decision", "    decision"),
            (
                "    outcome = await steps.execute(run, proposal, decision)\n",
                "    outcome = await steps.execute(run, proposal, decision)\n"
                "    if proposal.segment in run.story.by_id:\n"
                "        await reward(run, proposal, drawn, result)\n",
            ),
        ),
    ),
    Bug(
        "a reward is issued again",
        ("recorded twice", "wrong_verdicts"),
        "runtime/loop.py",
        ((" or told.reward is not None:", ":"),),
    ),
    Bug(
        "auditors are asked again",
        ("recorded twice",),
        "runtime/audits.py",
        (("for vote in recall.votes(run.store, run.story.by_id[segment])}", "for vote in ()}"),),
    ),
    Bug(
        "the gate decides again",
        ("recorded twice", "out of order", "wrong_verdicts"),
        "runtime/loop.py",
        (
            (
                "recorded = recall.decision(run.store, run.segment)",
                "recorded: Decision | None = None",
            ),
        ),
    ),
    Bug(
        "a decision is replayed",
        ("decision replayed",),
        "runtime/audits.py",
        (('ItemId(f"{proposal.segment}.gate")', 'ItemId(f"{run.id}.gate")'),),
    ),
    Bug(
        "an outcome is told twice",
        ("wrong history",),
        "runtime/history.py",
        (("for one in reversed(_over(store, run)):", "for one in _over(store, run)[::-1] * 2:"),),
    ),
    Bug(
        "a step that was settled is not told",
        ("wrong history",),
        "runtime/loop.py",
        (
            (
                "        ending, missed = await settle(run, box), None\n",
                "        told = history(run.store, run.id)\n"
                "        ending, missed = await settle(run, box), None\n",
            ),
            ("await enter(run, box)", "await enter(run, box, told)"),
            ("enter(run: Run, box: Box)", "enter(run: Run, box: Box, told: bytes)"),
            ("history=history(run.store, run.id))", "history=told)"),
        ),
    ),
    Bug(
        "a boundary is torn in two",
        ("recorded twice", "wrong_verdicts", "broke", "stuck"),
        "runtime/steps.py",
        (
            (
                "            next_segment(run.id, proposal.index + 1),\n",
                "",
            ),
            (
                '            checkpoint=how == "not executed",\n        )\n',
                '            checkpoint=how == "not executed",\n        )\n'
                "        await run.journal.append(next_segment(run.id, proposal.index + 1))\n",
            ),
        ),
    ),
    Bug(
        "an event is acknowledged before it is kept",
        ("events_lost",),
        "runtime/journal.py",
        (
            (
                "            contents = [content for",
                "            for record in records:\n                self._told(record)\n"
                "            contents = [content for",
            ),
            (
                "self._checkpointed = self._seq\n            for record in records:\n"
                "                self._told(record)\n",
                "self._checkpointed = self._seq\n",
            ),
        ),
    ),
    Bug(
        "a reply reaches the agent before it is kept",
        ("unrecorded reply",),
        "runtime/calls.py",
        (
            (
                "        await run.journal.append(*events, blobs=blobs)\n"
                "        for one in carried:\n"
                "            await self._box.answer(one.asked.call, one.response)\n",
                "        for one in carried:\n"
                "            await self._box.answer(one.asked.call, one.response)\n"
                "        await trio.sleep(1)\n"
                "        await run.journal.append(*events, blobs=blobs)\n",
            ),
        ),
    ),
    Bug(
        "deferred audits are forgotten",
        ("wrong reward",),
        "runtime/runner.py",
        (("                await _take_up_deferred(run, past.deferred)\n", ""),),
    ),
    Bug(
        "a deferred audit is awaited twice",
        ("recorded twice", "wrong_verdicts", "broke"),
        "runtime/runner.py",
        (
            (
                "                await _take_up_deferred(run, past.deferred)\n",
                "                await _take_up_deferred(run, past.deferred)\n" * 2,
            ),
        ),
    ),
    Bug(
        "a question that was posted is posted again",
        ("broke", "stuck"),
        "runtime/desk.py",
        (("stored = self._find(item)\n        number", "stored = None\n        number"),),
    ),
    Bug(
        "an overtaken runtime may still write",
        ("overtaken",),
        "runtime/store.py",
        (("found[:2] != (one.owner, one.epoch)", "found[0] != one.owner"),),
    ),
)


class NoPlace(Exception):
    """A bug's text is not in the source any more: write the bug anew."""


def planted(bug: Bug, folder: Path) -> Path:
    """Copy the packages to a folder with a bug in them; return what goes on PYTHONPATH.

    Raises:
        NoPlace: The source has changed.
    """
    house = folder / "monastery"
    for room in ROOMS:
        shutil.copytree(ROOT / room, house / room, ignore=shutil.ignore_patterns("__pycache__"))
    path = house / bug.file
    text = path.read_text()
    for old, new in bug.edits:
        if text.count(old) != 1:
            raise NoPlace(f"{bug.name!r}: {bug.file} holds {text.count(old)} times {old!r}")
        text = text.replace(old, new)
    path.write_text(text)
    return folder


def simulated(path: Path, *arguments: str) -> dict[str, Any]:
    """Simulate with the packages in `path`; return the report."""
    return reported("tests.simulation", path, *arguments)[0]


def reported(module: str, path: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """Run a module with the packages in `path`; return its report, and what it said before."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1]), done.stderr
