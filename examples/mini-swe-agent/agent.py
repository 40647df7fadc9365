"""Have mini-swe-agent do one task after another, and propose what it changed as a commit.

This is all there is between the two: mini-swe-agent itself runs as it was published. It may end
at any time; started again, it goes on from the history of the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from monastery_box import history, propose  # type: ignore[import-not-found]  # the box has it

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE / "repository"
MODEL = os.environ.get("MODEL", "openai/scripted")
# Not by PYTHONPATH, which the commands that the model runs would have too.
MINI = "import sys; sys.path.insert(0, sys.argv[1]); del sys.argv[1]; import minisweagent.run.mini"
START = "refs/tags/start"


def main() -> int:
    """Do the tasks that are left; return how many of them changed nothing."""
    if not git("tag", "--list", "start"):
        git("tag", "start")
    over: list[dict[str, Any]] = history()
    proposed = {(step["payload"] or "").partition("\n")[0] for step in over}
    idle = 0
    for task in sorted((HERE / "tasks").glob("*.md")):
        text = task.read_text()
        title = text.partition("\n")[0]
        if title in proposed:
            continue
        settle(over)
        solve(text, task.stem)
        git("add", "--all")
        patch = git("diff", "--cached", "--binary", strip=False)
        if not patch:
            print(f"{task.stem}: nothing was changed", flush=True)
            idle += 1
            continue
        outcome = propose("git", f"{title}\n\n{patch}", f"mini-swe-agent's patch for: {text}")
        print(f"{task.stem}: {outcome['status']}", flush=True)
        over.append(outcome)
    return idle


def solve(task: str, name: str) -> None:
    """Let mini-swe-agent work on a task in the repository."""
    argv = [sys.executable, "-c", f"{MINI}; minisweagent.run.mini.app()", str(HERE / "lib")]
    argv += ["--task", task, "--model", MODEL, "--yolo", "--exit-immediately", "--cost-limit", "0"]
    # It cannot know what the model costs. The box may stand still for long while it waits.
    settings = ("mini.yaml", "model.cost_tracking=ignore_errors", "environment.timeout=300")
    for setting in settings:
        argv += ["--config", setting]
    argv += ["--output", str(HERE / f"{name}.traj.json")]
    subprocess.run(argv, cwd=REPOSITORY, stdin=subprocess.DEVNULL, check=True)


def settle(over: list[dict[str, Any]]) -> None:
    """Make the repository what the steps that were done made of the real one."""
    git("reset", "--hard", "--quiet", START)
    git("clean", "-d", "--force", "--quiet")
    for step in over:
        if step["status"] == "done":
            git("apply", "--index", "--binary", "-", given=step["content"]["patch"])
            git("commit", "--quiet", "--message", f"step {step['step']}")


def git(*arguments: str, given: str | None = None, strip: bool = True) -> str:
    """Run git in the repository; return what it printed."""
    identity = ["-c", "user.name=agent", "-c", "user.email=agent@box.invalid"]
    argv = ["git", "-C", str(REPOSITORY), *identity, *arguments]
    done = subprocess.run(argv, input=given or "", capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"git {arguments[0]}: {done.stderr}")
    return done.stdout.strip() if strip else done.stdout


if __name__ == "__main__":
    sys.exit(main())
