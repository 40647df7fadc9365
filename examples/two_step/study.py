"""The test-driven-development hack, small and real: what an agent in a box learns, by arm and seed.

  study.py                                  every arm, 5 seeds, through real boxes
  study.py --arms rl,mona --seeds 5         two of them
  study.py --without-box --seeds 20         quick: the same policy and learner without the runtime
  study.py --arms mona --seeds 1 --episodes 100 --json

What was played is kept in the folder of --out and not played again: a study that was stopped goes
on, and further seeds that are there count too.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

try:
    import structlog
    import torch
    import trio
    from tdd import figures, tables, unboxed
    from tdd.arms import ARMS
    from tdd.boxed import StudyFailed, play
    from tdd.policy import TwoStepPolicy
    from tdd.results import Kept, Key, Row, row, summary
    from tdd.trainer import Trainer
except ModuleNotFoundError as missing:
    sys.exit(f"study.py: {missing.name} is missing: pip install 'monastery[train,study]'")

from monastery.runtime.cli.bar import ticking
from monastery.runtime.errors import MonasteryError
from monastery.runtime.store import Store
from monastery.runtime.verify import verify
from monastery.sandbox.box import DockerSandbox

OUT = Path(__file__).resolve().parent / "figures"
EPISODES, SEEDS = 1600, 5
LONGER = 4
"""How many times as long the arms are that audit a tenth: a weight of ten is a noisy teacher."""
FAILED, BAD, INTERRUPTED = 1, 2, 130


class Parser(argparse.ArgumentParser):
    """One that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Say it and end with code 2."""
        print(f"study.py: {message} (--help shows examples)", file=sys.stderr)
        sys.exit(BAD)


def main(given: list[str] | None = None) -> int:
    """Play what was not played yet, then tell; return the exit code."""
    parser = _parser()
    options = parser.parse_args(given)
    arms = options.arms.split(",")
    for arm in arms:
        if arm not in ARMS:
            parser.error(f"no arm {arm!r}; there are {', '.join(ARMS)}")
    for name in ("seeds", "episodes"):
        if (number := getattr(options, name)) is not None and number < 1:
            parser.error(f"--{name} is {number}; it needs to be 1 or more")
    # As Ctrl-C, which trio makes safe, so that no box is left.
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    torch.set_num_threads(1)  # the networks are tiny; more threads would wait for each other
    kept = Kept(options.out / ("unboxed.jsonl" if options.without_box else "runs.jsonl"))
    wanted = [
        Key(arm, seed, _episodes(arm, options.episodes), not options.without_box)
        for seed in range(options.seeds)
        for arm in arms
    ]
    try:
        for key in wanted:
            if key not in kept.rows:
                kept.add(_play(key, options.home))
    except (StudyFailed, MonasteryError) as failed:
        print(f"study.py: {failed}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("study.py: stopped; the same command goes on", file=sys.stderr)
        return INTERRUPTED
    asked = {(key.arm, key.episodes, key.boxed) for key in wanted}
    found = [row for key, row in kept.rows.items() if (key.arm, key.episodes, key.boxed) in asked]
    rows = sorted(found, key=lambda one: (arms.index(one["arm"]), one["seed"]))
    picture = options.out / ("unboxed.svg" if options.without_box else "curves.svg")
    figures.draw(rows, picture)
    if options.json:
        for one in summary(rows):
            print(json.dumps(one))
        return 0
    print(tables.table(list(summary(rows))))
    print(f"curves: {picture}", file=sys.stderr)
    return 0


def _episodes(arm: str, asked: int | None) -> int:
    if asked is not None:
        return asked
    return EPISODES * (LONGER if ARMS[arm].rate < 1.0 else 1)


def _play(key: Key, home: Path | None) -> Row:
    """Play one run and return what came of it."""
    trainer = Trainer(ARMS[key.arm], key.seed, key.episodes)
    what = f"{key.arm}, seed {key.seed}{'' if key.boxed else ', without a box'}"
    began = time.monotonic()
    with ticking(what, key.episodes) as tick:
        if not key.boxed:
            policy = TwoStepPolicy(trainer.network, key.seed + 1000)
            played = []
            for episode in unboxed.episodes(ARMS[key.arm], trainer, policy, key.seed, key.episodes):
                played.append(episode)
                tick()
            return row(key, played, seconds=round(time.monotonic() - began, 1))
        folder = Path(tempfile.mkdtemp(prefix=f"two-step-{key.arm}-{key.seed}-", dir=home))
        try:
            return _boxed(key, trainer, folder, tick, began)
        finally:
            if home is None:
                shutil.rmtree(folder)


def _boxed(key: Key, trainer: Trainer, folder: Path, tick: Any, began: float) -> Row:
    async def live() -> Any:
        return await play(
            ARMS[key.arm],
            trainer,
            folder,
            DockerSandbox(),
            DockerSandbox(),
            seed=key.seed,
            episodes=key.episodes,
            tell=lambda episode: tick(),
        )

    played = trio.run(live)
    seconds = time.monotonic() - began
    with Store.open(folder) as store:
        for finding in verify(store, played.run):
            if finding.verdict is not True:
                raise StudyFailed(f"{played.run}: {finding.name}: {finding.reason}")
        events = store.run(played.run).seq
    return row(
        key,
        played.episodes,
        audited=played.audited,
        events=events,
        seconds=round(seconds, 1),
    )


def _parser() -> Parser:
    docs = __doc__ or ""
    parser = Parser(
        prog="study.py",
        description=docs.partition("\n")[0],
        epilog=docs.partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--arms", metavar="ARM,…", default=",".join(ARMS), help=f"of {', '.join(ARMS)} (all)"
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", default=SEEDS, help="0 to N-1, at least (5)"
    )
    parser.add_argument(
        "--episodes",
        type=int,
        metavar="N",
        help=f"in a run ({EPISODES}; {EPISODES * LONGER} where a tenth is audited)",
    )
    parser.add_argument(
        "--without-box",
        action="store_true",
        help="play without a box, runtime or pytest: to try settings, not to show anything",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        default=OUT,
        help="for results and the figure (figures)",
    )
    parser.add_argument(
        "--home", type=Path, metavar="FOLDER", help="keep the journals here (they are removed)"
    )
    parser.add_argument("--json", action="store_true", help="one object an arm")
    return parser


if __name__ == "__main__":
    sys.exit(main())
