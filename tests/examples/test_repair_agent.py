"""The repair example: the agent mends what it is given, and the audit tells good from bad.

The runtime is played by two small stand-ins: a `propose` command that accepts or rejects and keeps
a history, and a function that answers an audit program's requests in a temporary folder. Everything
else is real: git, pytest, processes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "repair"
LIMIT_SECONDS = 900

PROPOSE = """\
#!{python}
import json, os, pathlib, sys
arguments = sys.argv[1:]
assert arguments[0] == "git", arguments
pairs = list(zip(arguments[1::2], arguments[2::2]))
options = dict(pairs)
payload = pathlib.Path(options["--payload"]).read_text("utf-8")
evidence = [pathlib.Path(value).read_text("utf-8") for name, value in pairs if name == "--evidence"]
path = pathlib.Path(os.environ["MONASTERY_HISTORY"])
history = json.loads(path.read_text("utf-8")) if path.exists() else []
plan = json.loads(os.environ.get("PLAN", "[]"))
status = plan[len(history)] if len(history) < len(plan) else "done"
position = payload.index("diff --git ")
patch = payload[position:]
if status == "modified":
    status, patch = "done", patch.replace(*json.loads(os.environ["MODIFY"]))
content = dict(commit="0" * 40, branch="monastery", patch=patch) if status == "done" else dict()
step = dict(step=len(history) + 1, kind="git", payload=payload, status=status, content=content)
history.append(dict(step, rationale=options["--rationale"], evidence=evidence))
path.write_text(json.dumps(history), "utf-8")
print(json.dumps(dict(step, feedback=None if status == "done" else "not like this")))
sys.exit(0 if status == "done" else 1)
"""

MEDIAN = """\
def middle(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2 + 1]


def clamp(value, low, high):
    if value < low:
        return low
    if value < high:
        return high
    return value
"""
MEDIAN_TESTS = """\
from stats import clamp, middle


def test_middle_of_three():
    assert middle([3, 1, 2]) == 2


def test_middle_of_one():
    assert middle([7]) == 7


def test_clamp():
    assert clamp(5, 0, 9) == 5
    assert clamp(10, 0, 9) == 9


def test_clamp_below():
    assert clamp(-1, 0, 9) == 0
"""


@dataclass
class World:
    """A repository, and the environment in which the agent finds its `propose`."""

    repository: Path
    environment: dict[str, str]

    def agent(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run the agent on the repository."""
        command = [sys.executable, str(EXAMPLE / "agent"), str(self.repository), *options]
        return subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_SECONDS,
        )

    @property
    def steps(self) -> list[dict[str, Any]]:
        """What was proposed."""
        path = Path(self.environment["MONASTERY_HISTORY"])
        return json.loads(path.read_text("utf-8")) if path.exists() else []


def git(repository: Path, *arguments: str) -> str:
    """Run git in a repository."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    command = ["git", *identity, "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def make_world(folder: Path, files: dict[str, str] | None) -> World:
    """Make a repository of some files (of the shipped package, when there are none given)."""
    repository = folder / "repository"
    if files is None:
        script = str(EXAMPLE / "make_repository.py")
        subprocess.run([sys.executable, script, str(repository)], check=True, capture_output=True)
    else:
        for name, text in files.items():
            path = repository / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        git(repository, "init", "--quiet")
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--message", "Begin")
    programs = folder / "bin"
    programs.mkdir()
    propose = programs / "propose"
    propose.write_text(PROPOSE.format(python=sys.executable), "utf-8")
    propose.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "TMPDIR": str(folder),
        "MONASTERY_HISTORY": str(folder / "history.json"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return World(repository, environment)


def outcomes(repository: Path) -> tuple[int, int]:
    """Run a repository's tests and return how many pass and fail."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no"]
    done = subprocess.run(
        command, cwd=repository, capture_output=True, text=True, check=False, timeout=240
    )
    words = done.stdout.strip().splitlines()[-1].replace(",", "").split()
    count = {
        word: int(words[index]) for index, word in enumerate(words[1:]) if words[index].isdigit()
    }
    return count.get("passed", 0), count.get("failed", 0)


def flat() -> dict[str, str]:
    """Return a small repository of flat layout with two bugs."""
    return {"stats.py": MEDIAN, "test_stats.py": MEDIAN_TESTS}


@pytest.fixture(scope="module")
def accepted(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The steps of an agent on the small repository when all that it proposes is accepted."""
    world = make_world(tmp_path_factory.mktemp("accepted"), flat())
    done = world.agent()
    assert done.returncode == 0, done.stdout + done.stderr
    return world.steps


# The agent.


def test_the_shipped_package_is_mended_bug_by_bug(tmp_path: Path) -> None:
    """The shipped suite fails, eight accepted one-file patches make it green, tests untouched."""
    world = make_world(tmp_path, None)
    passed, failed = outcomes(world.repository)
    assert (passed > 100, failed > 7) == (True, True)
    base = git(world.repository, "rev-parse", "HEAD").strip()
    done = world.agent("--max-seconds", "200")
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcomes(world.repository) == (passed + failed, 0)
    assert [step["status"] for step in world.steps] == ["done"] * 8
    assert all(step["payload"].count("diff --git ") == 1 for step in world.steps)
    assert all(3 <= step["rationale"].count("\n") + 1 <= 6 for step in world.steps)
    assert all("failed" in text for step in world.steps for text in step["evidence"])
    changed = git(world.repository, "diff", "--name-only", base).split()
    assert all(name.startswith("src/") for name in changed)
    assert git(world.repository, "status", "--porcelain") == ""
    assert len(done.stdout) < 20_000


def test_the_repository_is_the_same_every_time(tmp_path: Path) -> None:
    """Two repositories made at different places have the same commit on the branch main."""
    commits = []
    for name in ("one", "two"):
        script = str(EXAMPLE / "make_repository.py")
        made = subprocess.run(
            [sys.executable, script, str(tmp_path / name)], check=True, capture_output=True
        )
        commits.append(made.stdout)
        assert git(tmp_path / name, "branch", "--show-current") == "main\n"
    assert commits[0] == commits[1]


def test_a_rejected_mend_is_not_proposed_again(tmp_path: Path) -> None:
    """After two rejections, then restarted, the agent proposes a third change, never one twice."""
    world = make_world(tmp_path, flat())
    world.environment["PLAN"] = json.dumps(["rejected", "rejected"])
    done = world.agent()
    assert done.returncode == 0, done.stdout + done.stderr
    statuses = [step["status"] for step in world.steps]
    assert statuses[:2] == ["rejected", "rejected"]
    assert statuses.count("done") == 2
    payloads = [step["payload"] for step in world.steps]
    assert len(set(payloads)) == len(payloads)
    assert "not like this" in done.stdout


def test_a_run_goes_on_from_its_history(tmp_path: Path, accepted: list[dict[str, Any]]) -> None:
    """A new process commits the step that was done, forgets a half-done edit, and goes on."""
    world = make_world(tmp_path, flat())
    history = json.dumps(accepted[:1])
    Path(world.environment["MONASTERY_HISTORY"]).write_text(history, "utf-8")
    (world.repository / "stats.py").write_text("half-done", "utf-8")
    done = world.agent()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "was done but not kept here" in done.stdout
    assert [step["status"] for step in world.steps] == ["done", "done"]
    assert outcomes(world.repository) == (4, 0)
    assert git(world.repository, "rev-list", "--count", "HEAD").strip() == "3"


def test_a_refusal_in_the_history_is_remembered(
    tmp_path: Path, accepted: list[dict[str, Any]]
) -> None:
    """A change that was rejected before the process was started anew is not proposed again."""
    world = make_world(tmp_path, flat())
    refused = {**accepted[0], "status": "rejected", "content": {}}
    Path(world.environment["MONASTERY_HISTORY"]).write_text(json.dumps([refused]), "utf-8")
    world.agent("--max-seconds", "40")
    changes = [step["payload"].partition("diff --git ")[2] for step in world.steps]
    assert len(changes) > 1
    assert changes.count(changes[0]) == 1


def test_what_the_auditor_changed_is_what_is_kept(tmp_path: Path) -> None:
    """When the step was carried out with a modified patch, the agent's clone gets that patch."""
    source = MEDIAN.replace("value < high", "value > high")
    world = make_world(tmp_path, {**flat(), "stats.py": source})
    world.environment["PLAN"] = json.dumps(["modified"])
    world.environment["MODIFY"] = json.dumps(["// 2]", "// 2]  # the upper one"])
    done = world.agent()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# the upper one" not in world.steps[0]["payload"]
    assert "// 2]  # the upper one\n" in (world.repository / "stats.py").read_text("utf-8")


def test_a_green_suite_needs_no_proposal(tmp_path: Path) -> None:
    """A repository whose tests pass ends with exit code 0 and nothing proposed."""
    files = {"src/one/__init__.py": "ONE = 1\n"}
    files["tests/test_one.py"] = "from one import ONE\n\n\ndef test_one():\n    assert ONE == 1\n"
    world = make_world(tmp_path, files)
    done = world.agent()
    assert (done.returncode, world.steps) == (0, [])
    assert "the suite is green" in done.stdout


def test_a_hanging_loop_is_mended_in_bounded_time(tmp_path: Path) -> None:
    """A test that never ends counts as failing, and candidates that loop are cut short."""
    source = "def count_down(number):\n    steps = 0\n    while number > 0:\n"
    source += "        number += 1\n        steps += 1\n    return steps\n"
    tests = (
        "from count import count_down\n\n\ndef test_three():\n    assert count_down(3) == 3\n\n\n"
    )
    tests += "def test_none():\n    assert count_down(0) == 0\n"
    world = make_world(tmp_path, {"count.py": source, "test_count.py": tests})
    done = world.agent("--test-seconds", "0.5", "--max-seconds", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "number -= 1" in (world.repository / "count.py").read_text("utf-8")


def test_what_cannot_be_mended_is_named(tmp_path: Path) -> None:
    """Of two bugs one is beyond small changes: the other is mended, the exit code is 1."""
    source = "def double(number):\n    return number * 3\n\n\ndef poem():\n    return 'roses'\n"
    tests = (
        "from words import double, poem\n\n\ndef test_double():\n    assert double(4) == 8\n\n\n"
    )
    tests += "def test_poem():\n    assert poem() == 'violets are blue'\n"
    world = make_world(tmp_path, {"words.py": source, "test_words.py": tests})
    done = world.agent()
    assert done.returncode == 1
    assert len(world.steps) == 1
    assert "number * 2" in (world.repository / "words.py").read_text("utf-8")
    assert "still failing: test_words.py::test_poem" in done.stdout


def test_a_module_that_cannot_be_imported_is_mended(tmp_path: Path) -> None:
    """A test file that fails at collection, by a constant computed wrongly, is a failing test."""
    source = "SIZES = [3, 5]\nLARGEST = SIZES[2]\n\n\ndef largest():\n    return LARGEST\n"
    tests = "from sizes import largest\n\n\ndef test_largest():\n    assert largest() == 5\n"
    world = make_world(tmp_path, {"sizes.py": source, "test_sizes.py": tests})
    done = world.agent()
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(world.steps) == 1


@pytest.mark.parametrize("case", ["no repository", "no propose", "no tests"])
def test_bad_input_has_its_own_exit_code(tmp_path: Path, case: str) -> None:
    """What is not fit to work on ends with exit code 2 and a line that says why."""
    world = make_world(tmp_path, {"a.py": "A = 1\n"} if case == "no tests" else flat())
    options = []
    if case == "no repository":
        world.repository = tmp_path / "bin"
        world.environment["GIT_CEILING_DIRECTORIES"] = str(tmp_path)
    elif case == "no propose":
        options = ["--propose", "no-such-command"]
    done = world.agent(*options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len((done.stderr or done.stdout).splitlines()) == 1


def test_suspiciousness_is_ochiai(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is ef / sqrt((ef + nf) * (ef + ep)); tests that run different lines are not grouped."""
    monkeypatch.syspath_prepend(str(EXAMPLE / "agent"))
    for name in ("suite", "spectrum"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import spectrum  # type: ignore[import-not-found]
    import suite  # type: ignore[import-not-found]

    def ran(name: str, outcome: str, *numbers: int) -> Any:
        return suite.Test(name, outcome, lines=frozenset(("f.py", number) for number in numbers))

    failing = [ran("a", "failed", 1, 2), ran("b", "failed", 1, 3)]
    passing = [ran("c", "passed", 1), ran("d", "passed", 1, 3)]
    found = spectrum.ochiai(failing, passing)
    assert found[("f.py", 1)] == pytest.approx(2 / (2 * 4) ** 0.5)
    assert found[("f.py", 2)] == pytest.approx(1 / (2 * 1) ** 0.5)
    assert found[("f.py", 3)] == pytest.approx(1 / (2 * 2) ** 0.5)
    groups = spectrum.clusters(failing, passing)
    assert [[test.id for test in group] for group in groups] == [["a"], ["b"]]
    for name in ("suite", "spectrum"):
        monkeypatch.delitem(sys.modules, name)


# The audit.


def audit(
    folder: Path, repository: Path, payload: bytes, fork_works: bool = True
) -> dict[str, Any]:
    """Run the audit program; answer what it asks in a folder that stands for the fork's /work."""
    work = folder / f"fork-{hashlib.sha256(payload).hexdigest()[:8]}"
    work.mkdir()
    case = {
        "item": "item-1",
        "goal": "make the tests pass",
        "kind": "git",
        "step": 1,
        "payload_base64": base64.b64encode(payload).decode(),
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "rationale": "",
        "evidence": [],
        "changes": [],
        "settings": {"repository": str(repository), "branch": "monastery"},
        "earlier": [],
    }
    program = subprocess.Popen(
        [sys.executable, str(EXAMPLE / "audit.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stderr is not None
    with program:
        program.stdin.write(json.dumps({"case": case}) + "\n")
        program.stdin.flush()
        vote: dict[str, Any] = {}
        for line in program.stdout:
            message = json.loads(line)
            if "vote" in message:
                vote = message["vote"]
                break
            answer = {"result": serve(message, work)} if fork_works else {"error": "no room"}
            program.stdin.write(json.dumps(answer) + "\n")
            program.stdin.flush()
        errors = program.stderr.read()
    return {**vote, "exit_code": program.returncode, "errors": errors}


def serve(message: dict[str, Any], work: Path) -> dict[str, Any]:
    """Do what the audit program asks for, with /work mapped to a folder."""

    def mapped(text: str) -> str:
        return sys.executable if text == "python3" else text.replace("/work/", f"{work}/")

    if "write" in message:
        path = Path(mapped(message["write"]))
        path.write_bytes(base64.b64decode(message["content_base64"]))
        path.chmod(message["mode"])
        return {}
    done = subprocess.run(
        [mapped(part) for part in message["run"]],
        cwd=mapped(message["cwd"]),
        timeout=message["timeout_seconds"],
        capture_output=True,
        check=False,
    )
    return {
        "exit_code": done.returncode,
        "timed_out": False,
        "stdout_base64": base64.b64encode(done.stdout).decode(),
        "stderr_base64": base64.b64encode(done.stderr).decode(),
        "truncated": False,
    }


def payload_of(repository: Path, edits: dict[str, tuple[str, str]]) -> bytes:
    """Return the payload of some replacements of text, the repository left as it was."""
    for name, (old, new) in edits.items():
        path = repository / name
        text = path.read_text("utf-8") if path.exists() else ""
        assert old in text
        path.write_text(text.replace(old, new, 1) if old else text + new, "utf-8")
    git(repository, "add", "--all")
    patch = git(repository, "diff", "--cached")
    git(repository, "reset", "--hard", "--quiet")
    return f"Mend the middle\n\n{patch}".encode()


GOOD = {"stats.py": ("// 2 + 1]", "// 2]")}


def test_a_good_patch_is_approved(tmp_path: Path) -> None:
    """A small patch that mends and breaks nothing scores high; the real repository is untouched."""
    world = make_world(tmp_path, flat())
    payload = payload_of(world.repository, GOOD)
    before = git(world.repository, "rev-parse", "--all"), git(world.repository, "status")
    vote = audit(tmp_path, world.repository, payload)
    assert (vote["decision"], vote["exit_code"]) == ("approve", 0), vote
    assert vote["score"] == pytest.approx(0.6 + 0.3 + 0.1 * 2 / 3, abs=0.001)
    assert "test_middle_of_one" in vote["note"]
    assert before == (git(world.repository, "rev-parse", "--all"), git(world.repository, "status"))


def test_the_branch_is_judged_once_it_exists(tmp_path: Path) -> None:
    """A mend that the branch already has does not apply, though HEAD still lacks it."""
    world = make_world(tmp_path, flat())
    payload = payload_of(world.repository, GOOD)
    git(world.repository, "checkout", "--quiet", "-b", "monastery")
    (world.repository / "stats.py").write_text(MEDIAN.replace("// 2 + 1]", "// 2]"), "utf-8")
    git(world.repository, "commit", "--quiet", "--all", "--message", "Mend")
    git(world.repository, "checkout", "--quiet", "-")
    vote = audit(tmp_path, world.repository, payload)
    assert (vote["decision"], vote["score"]) == ("reject", 0.0), vote
    assert "does not apply" in vote["note"]


@pytest.mark.parametrize(
    ("edits", "note"),
    [
        ({**GOOD, "test_stats.py": ("== 7", "== 7 or True")}, "touches a test"),
        ({**GOOD, "conftest.py": ("", "collect_ignore = ['test_stats.py']\n")}, "touches settings"),
        ({**GOOD, "pytest.py": ("", "print('1 passed')\n")}, "top-level module"),
        ({"stats.py": ("return low", "return low + 1")}, "breaks 1"),
        ({"stats.py": ("ordered = ", "values = list(values)\n    ordered = ")}, "no progress"),
    ],
)
def test_a_bad_patch_is_rejected(
    tmp_path: Path, edits: dict[str, tuple[str, str]], note: str
) -> None:
    """Touching tests or settings, hiding pytest, breaking a test, no progress: rejected."""
    world = make_world(tmp_path, flat())
    vote = audit(tmp_path, world.repository, payload_of(world.repository, edits))
    assert (vote["decision"], vote["exit_code"]) == ("reject", 0), vote
    assert note in vote["note"]
    assert vote["score"] <= 0.1


@pytest.mark.parametrize(
    ("payload", "note"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"just words\n", "holds no line"),
        (b"diff --git a/stats.py b/stats.py\n", "no commit message"),
        (b"Mend\n\ndiff --git a/x b/x\ndeleted file mode 100644\n", "does not delete"),
        (b"Mend\n\ndiff --git a/x b/x\nold mode 100644\nnew mode 100755\n", "change modes"),
        (b"Mend\n\ndiff --git a/x b/x\nnew file mode 120000\n", "ordinary"),
        (b"Mend\n\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n", "not apply"),
    ],
)
def test_a_payload_that_is_not_fit_is_rejected(tmp_path: Path, payload: bytes, note: str) -> None:
    """What is not a message and an applicable patch of ordinary files is rejected without a run."""
    world = make_world(tmp_path, flat())
    vote = audit(tmp_path, world.repository, payload, fork_works=False)
    assert (vote["decision"], vote["score"], vote["exit_code"]) == ("reject", 0.0, 0), vote
    assert note in vote["note"]


def test_a_broken_fork_is_no_vote(tmp_path: Path) -> None:
    """When the fork fails the program ends with an error and one line, and without a vote."""
    world = make_world(tmp_path, flat())
    vote = audit(tmp_path, world.repository, payload_of(world.repository, GOOD), fork_works=False)
    assert vote["exit_code"] == 1
    assert "decision" not in vote
    assert vote["errors"].splitlines() == ["audit: the fork answered: no room"]
