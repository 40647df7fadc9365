"""`monastery train`: runs episodes of a project with a local model, and trains it meanwhile."""

import hashlib
import json as json_text
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import trio
import typer

from monastery.runtime import project_file
from monastery.runtime.cli import compose, curve, output
from monastery.runtime.cli.home import HomeOption, find
from monastery.runtime.cli.stopping import INTERRUPTED, Stop, mind_signals
from monastery.runtime.credit import TrainingItem
from monastery.runtime.errors import BadInput, Unfit
from monastery.runtime.following import Follower
from monastery.runtime.heartbeat import Keep, take
from monastery.runtime.journal import records
from monastery.runtime.kernel_timer import KernelTimer
from monastery.runtime.owner import this_process
from monastery.runtime.ports import Desk
from monastery.runtime.project import LocalPolicySettings
from monastery.runtime.project_file import Loaded
from monastery.runtime.rows import RunRow
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store

if TYPE_CHECKING:
    from monastery.policies.learners.online import Learned, Online, Saved, Settings
    from monastery.policies.local.worker import Thinker

_OVER = ("done", "failed")

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(
    epilog="Examples: monastery train project.yaml --episodes 100 --checkpoint training;"
    " monastery train project.yaml --episodes 200 --checkpoint training --resume"
)
def train(
    project: Annotated[Path, typer.Argument(metavar="PROJECT", help="A project file.")],
    episodes: Annotated[
        int, typer.Option(metavar="N", min=1, help="So many in all, those before a stop included.")
    ],
    checkpoint: Annotated[
        Path, typer.Option(metavar="FOLDER", help="For the model, its optimiser and the curve.")
    ],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the training in that folder.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option(metavar="S", help="Of what the model says. Default: 0.", show_default=False),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(metavar="X", help="Of AdamW. Default: 1e-5.", show_default=False),
    ] = None,
    baseline: Annotated[
        float | None,
        typer.Option(
            metavar="X", help="What a score is compared with. Default: 0.5.", show_default=False
        ),
    ] = None,
    home: HomeOption = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object an episode, and nothing else.")
    ] = False,
) -> None:
    """Train a local model in runs of a project: each audited segment is one update.

    The project's policy is `local`. Its folder is not changed: the trained model is in the
    checkpoint, and is a policy too. A training that was stopped, by Ctrl-C or a crash, goes on with
    --resume: no update is lost, and none is made twice.
    """
    loaded = project_file.load(project)
    model = loaded.project.policy
    if not isinstance(model, LocalPolicySettings):
        raise BadInput(f"{project}: trains `policy: {{local: FOLDER}}`; its policy is another")
    asked = {"seed": seed, "learning_rate": learning_rate, "baseline": baseline}
    training = Training.begin(
        loaded,
        model,
        checkpoint,
        {name: value for name, value in asked.items() if value is not None},
        resume=resume,
        quiet=json,
    )
    again = f"monastery train {shlex.quote(str(project))} --episodes {episodes} --checkpoint"
    again = f"{again} {shlex.quote(str(checkpoint))} --resume"
    stop = Stop()
    try:
        trio.run(_train, training, find(home, beside=loaded.folder), episodes, stop)
    except BaseException:
        output.note(f"the training can go on: {again}")
        raise
    if stop.by is not None:
        output.note(f"stopped by {stop.by}; go on with: {again}")
        raise typer.Exit(INTERRUPTED)
    if not json:
        output.line(f"trained   {training.online.updates} updates in {episodes} episodes")
        output.line(f"model     {training.saved.model}")
        for path in curve.draw(checkpoint):
            output.line(f"curve     {path}")


async def _train(training: "Training", home: Path, episodes: int, stop: Stop) -> None:
    """Live one episode after the other, until a signal."""
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()
        await nursery.start(mind_signals, scope, stop)
        with scope:
            for number in range(training.saved.episodes, episodes):
                await training.live(home, number)
        nursery.cancel_scope.cancel()


@dataclass(slots=True)
class Training:
    """A model that is trained, and where it lies.

    Attributes:
        folder: Of the checkpoint.
        saved: The last one.
    """

    loaded: Loaded
    policy: LocalPolicySettings
    folder: Path
    thinker: "Thinker"
    online: "Online"
    saved: "Saved"
    quiet: bool

    @classmethod
    def begin(
        cls,
        loaded: Loaded,
        policy: LocalPolicySettings,
        folder: Path,
        asked: dict[str, Any],
        *,
        resume: bool,
        quiet: bool,
    ) -> "Training":
        """Load a model: the project's, or the one of a checkpoint.

        Raises:
            BadInput: What is asked for does not fit what lies in the folder.
            Unfit: A library is missing, or the model cannot be loaded.
        """
        try:
            from monastery.policies.learners import online as learning
            from monastery.policies.local import trained
        except ImportError as exc:
            raise Unfit(f"{exc.name} is missing; pip install 'monastery[local,train]'") from exc
        saved = learning.saved(folder)
        digest = hashlib.sha256(loaded.source).hexdigest()
        if saved is None and resume:
            raise BadInput(f"--resume: there is no training in {str(folder)!r}; leave it out")
        if saved is not None and not resume:
            raise BadInput(
                f"{str(folder)!r} holds a training of {saved.episodes} episodes;"
                " go on with it by --resume, or name another folder"
            )
        settings = learning.Settings(digest, **asked) if saved is None else saved.settings
        _unchanged(settings, digest, asked)
        learning.set_seeds(settings.seed)
        thinker = trained.load(
            policy, loaded.folder / policy.local if saved is None else saved.model
        )
        online = learning.Online(thinker.model, settings)
        if saved is None:
            folder.mkdir(parents=True, exist_ok=True)
            saved = learning.save(folder, online, thinker.tokenizer, 0)
        else:
            learning.take_up(online, saved)
            curve.cut(folder, saved.episodes)
        return cls(loaded, policy, folder, thinker, online, saved, quiet)

    async def live(self, home: Path, number: int) -> None:
        """Live an episode to its end, from wherever it was stopped, and keep what it taught."""
        from monastery.policies.learners import online as learning

        began, seen = time.monotonic(), Seen()
        with Store.open(home) as store:
            row = self._run(store, number)
            follower = Follower(store)
            follower.catch_up(records(store, row.run))
            if row.status not in _OVER:
                taken = await take(store, row.run, this_process(), say=output.note)
                build = partial(self._build, home, number, follower, seen)
                keep = Keep(arm=KernelTimer().arm)
                await go(home, taken, self.loaded, build, follower.take, keep=keep)
            for item in seen.items(follower):
                seen.learned(await trio.to_thread.run_sync(self.online.learn, item))
            row = store.run(row.run)
        point = {
            "episode": number + 1,
            "run": row.run,
            "status": row.status,
            **seen.figures(),
            "updates": self.online.updates,
            "seconds": round(time.monotonic() - began, 1),
        }
        curve.add(self.folder, point)
        self.saved = await trio.to_thread.run_sync(
            learning.save, self.folder, self.online, self.thinker.tokenizer, number + 1
        )
        self._tell(point)

    def _run(self, store: Store, number: int) -> RunRow:
        """Return the run of an episode: the one that was begun before a stop, or a new one."""
        begun = self.folder / "episode.json"
        if begun.exists():
            told = json_text.loads(begun.read_text())
            if told["episode"] == number and told["home"] == str(store.home):
                return store.run(told["run"])
        row = new_run(store, self.loaded)
        new = begun.with_suffix(".new")
        told = {"episode": number, "run": row.run, "home": str(store.home)}
        new.write_text(json_text.dumps(told))
        new.replace(begun)
        return row

    def _build(
        self, home: Path, number: int, follower: Follower, seen: "Seen", desk: Desk, calls: int
    ) -> World:
        from monastery.policies.local.trained import TrainedPolicy

        world = compose.world(self.loaded, desk, calls, sandbox=compose.sandbox(home), home=home)
        policy = TrainedPolicy(
            self.policy,
            self.saved.model,
            self.thinker,
            self.online,
            lambda: seen.items(follower),
            seen.learned,
            episode=number,
            calls=calls,
        )
        return replace(world, policy=policy)

    def _tell(self, point: dict[str, Any]) -> None:
        with output.unread_is_fine():
            if self.quiet:
                output.as_json(point)
                return
            score = "-" if point["score"] is None else f"{point['score']:.3f}"
            output.line(
                f"episode {point['episode']}  {point['run']} {point['status']}:"
                f" {point['segments']} steps, {point['audited']} audited, score {score},"
                f" {point['updates']} updates, {point['seconds']:.1f} s"
            )


@dataclass(slots=True)
class Seen:
    """What one episode came to."""

    segments: int = 0
    audited: int = 0
    scores: list[float] = field(default_factory=list)
    tokens: int = 0

    def items(self, follower: Follower) -> Iterator[TrainingItem]:
        """Yield what is to be learned, and count it."""
        for told, item in follower.items():
            self.segments += 1
            self.audited += told.drawn is not None and told.drawn.audited
            yield item

    def learned(self, what: "Learned") -> None:
        """Count what was learned."""
        self.tokens += what.tokens
        if what.score is not None:
            self.scores.append(what.score)

    def figures(self) -> dict[str, Any]:
        """Return it in figures; the score is the mean of those that were measured."""
        return {
            "segments": self.segments,
            "audited": self.audited,
            "measured": len(self.scores),
            "score": fmean(self.scores) if self.scores else None,
            "tokens": self.tokens,
        }


def _unchanged(settings: "Settings", digest: str, asked: dict[str, Any]) -> None:
    """Refuse to go on as if it were another training."""
    if settings.project != digest:
        raise BadInput("the project file is not the one that the training began with; put it back")
    for name, value in asked.items():
        began = getattr(settings, name)
        if began != value:
            option = f"--{name.replace('_', '-')}"
            raise BadInput(f"{option} {value:g}: the training began with {began:g}; leave it out")
