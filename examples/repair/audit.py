"""Judge a proposed patch without applying it to the real repository: an auditor program.

The case comes as one JSON line on stdin; the answer, a vote, goes to stdout as one JSON line. In
between, the program asks the runtime, one line each, to write files and run commands in a fork of
the frozen box: the same programs, no network, thrown away afterwards. The agent's own copy of the
repository is not trusted: the tree that is tested there comes from the real repository.

A patch is rejected when it is not well-formed, does not apply, touches tests or settings, deletes
or renames a file, changes a mode, adds a top-level module (which could hide the audit's tools),
mends nothing, or breaks a test that passed. Otherwise:

    score = 0.6 + 0.3 * small + 0.1 * mended / (mended + 1)
    small = min(1, 4 / changed lines) / changed files

so that one changed line (two lines of a diff) that mends one test scores 0.95, and a patch of forty
lines in two files that mends one, 0.67. A patch that brings no progress scores 0.1, a regression
0.05, a patch that is not fit to be run 0.0.

Exit code 0 with a vote; 1 with one line on stderr when nothing could be measured.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import secrets
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn, TextIO

CHUNK_BYTES = 128 * 1024
OUTPUT_BYTES = 16 << 20
SUITE_SECONDS = 300
TEST_FOLDERS = {"test", "tests", "testing"}
SETTINGS = re.compile(
    r"(conftest\.py|pytest\.(ini|toml)|\.pytest\.(ini|toml)|pyproject\.toml|setup\.(py|cfg)|tox\.ini"
    r"|noxfile\.py|sitecustomize\.py|usercustomize\.py|\.coveragerc|Makefile|\.gitattributes"
    r"|\.gitmodules|\.gitlab-ci\.yml|.*\.pth)$"
)
SETTINGS_FOLDERS = {".github", ".gitlab", ".circleci", ".git", "ci"}
FAILURES = ("failure", "error")


class Unmeasured(Exception):
    """The audit could not be carried out; that says nothing about the patch."""


class Rejected(Exception):
    """The patch is not to be applied."""

    def __init__(self, score: float, note: str) -> None:
        """Take the vote's score and note."""
        super().__init__(note)
        self.score = score
        self.note = note


class Runtime:
    """The runtime's side of the protocol: one JSON object a line, each request answered by one."""

    def __init__(self, requests: TextIO, answers: TextIO) -> None:
        """Write requests to one file and read answers from the other."""
        self.requests = requests
        self.answers = answers

    def case(self) -> dict[str, Any]:
        """Read the case."""
        return dict(self._read()["case"])

    def run(self, argv: list[str], cwd: str, timeout_seconds: float) -> dict[str, Any]:
        """Run a command in the fork and return exit_code, timed_out, stdout and stderr (bytes)."""
        asked = {"run": argv, "cwd": cwd, "timeout_seconds": timeout_seconds}
        result = self._ask({**asked, "max_output_bytes": OUTPUT_BYTES})
        for name in ("stdout", "stderr"):
            result[name] = base64.b64decode(result.get(f"{name}_base64") or "")
        return result

    def write(self, path: str, content: bytes) -> None:
        """Write a file in the fork."""
        encoded = base64.b64encode(content).decode()
        self._ask({"write": path, "content_base64": encoded, "mode": 0o644})

    def vote(self, decision: str, score: float, note: str) -> None:
        """Answer the case."""
        self._write({"vote": {"decision": decision, "score": round(score, 3), "note": note}})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._write(request)
        answer = self._read()
        if "error" in answer:
            raise Unmeasured(f"the fork answered: {answer['error']}")
        return dict(answer["result"])

    def _write(self, message: dict[str, Any]) -> None:
        self.requests.write(json.dumps(message) + "\n")
        self.requests.flush()

    def _read(self) -> dict[str, Any]:
        line = self.answers.readline()
        if not line:
            raise Unmeasured("the runtime closed the stream")
        return dict(json.loads(line))


# ---------------------------------------------------------------------------- the patch


@dataclass(frozen=True)
class Patch:
    """A commit message and what ``git diff`` printed."""

    message: str
    diff: bytes
    files: tuple[str, ...]
    changed_lines: int


def read_patch(payload: bytes) -> Patch:
    """Read a payload, and reject what a reviewer would not even run."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise Rejected(0.0, f"the payload is not UTF-8: {error}") from error
    position = 0 if text.startswith("diff --git ") else text.find("\ndiff --git ") + 1
    message, diff = text[:position].strip(), text[position:]
    if not diff.startswith("diff --git "):
        raise Rejected(0.0, "the payload holds no line that begins with 'diff --git '")
    if not message:
        raise Rejected(0.0, "the payload has no commit message")
    for line in diff.split("\n"):
        if re.match(r"(deleted file|old mode|new mode|rename|copy|similarity) ", line):
            raise Rejected(0.0, f"a mend does not delete, rename or change modes: {line!r}")
        if re.match(r"new file mode (?!100644)", line):
            raise Rejected(0.0, f"a new file must be an ordinary one: {line!r}")
        if line.startswith(("GIT binary patch", "Binary files ")):
            raise Rejected(0.0, "the patch is binary: nobody can read it")
    return Patch(message, diff.encode(), (), 0)


def check_files(files: tuple[str, ...], known: set[str]) -> None:
    """Reject a patch that touches tests, settings of tests or CI, or adds a top-level module.

    Args:
        known: the names at the top of the tree and of its ``src`` before the patch.
    """
    for name in files:
        path = PurePosixPath(name)
        is_test = path.name.startswith("test_") or path.name.endswith("_test.py")
        if is_test or TEST_FOLDERS & set(path.parts[:-1]):
            raise Rejected(0.0, f"the patch touches a test: {name}")
        if SETTINGS.match(path.name) or SETTINGS_FOLDERS & set(path.parts):
            raise Rejected(0.0, f"the patch touches settings of tests, builds or CI: {name}")
        if top_of(name) not in known:
            raise Rejected(0.0, f"the patch adds a top-level module or folder: {name}")


def top_of(name: str) -> str:
    """Return the first part of a path, leaving out ``src``."""
    parts = PurePosixPath(name).parts
    return parts[1] if parts[0] == "src" and len(parts) > 1 else parts[0]


class Checkout:
    """A throw-away clone of the real repository: the head of the branch, before and after."""

    def __init__(self, repository: str, branch: str, folder: str) -> None:
        """Clone the repository and check out the branch, or HEAD when there is no such branch."""
        self.folder = Path(folder, "clone")
        source = str(Path(repository).resolve())
        try:
            self._git("-C", source, "rev-parse", "--git-dir", at_clone=False)
            known = self._git(
                *("-C", source, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}"),
                at_clone=False,
                may_fail=True,
            )
            base = known or self._git("-C", source, "rev-parse", "HEAD", at_clone=False)
            clone = [
                "clone",
                "--quiet",
                "--no-checkout",
                "--no-hardlinks",
                source,
                str(self.folder),
            ]
            self._git(*clone, at_clone=False)
            self._git("checkout", "--quiet", "--detach", base.decode().strip())
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode("utf-8", "replace").strip()[-200:]
            raise Unmeasured(f"cannot clone {repository!r}: {said}") from error

    def _git(
        self, *arguments: str, given: bytes = b"", at_clone: bool = True, may_fail: bool = False
    ) -> bytes:
        place = ["-C", str(self.folder)] if at_clone else []
        settings = ["-c", "safe.directory=*", "-c", "core.hooksPath=/dev/null"]
        done = subprocess.run(
            ["git", *settings, *place, *arguments],
            input=given,
            capture_output=True,
            check=not may_fail,
            env={**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"},
        )
        return done.stdout if done.returncode == 0 else b""

    def apply(self, patch: Patch) -> Patch:
        """Apply a patch here; return it with the files and lines that it changes."""
        try:
            self._git("apply", "--check", "--index", "-", given=patch.diff)
            self._git("apply", "--index", "-", given=patch.diff)
        except subprocess.CalledProcessError as error:
            said = error.stderr.decode("utf-8", "replace").strip().splitlines() or [
                "no reason given"
            ]
            raise Rejected(0.0, f"the patch does not apply: {said[0]}") from error
        counted = self._git("diff", "--cached", "--numstat", "--no-renames", "-z").decode()
        rows = [row.split("\t") for row in counted.split("\0") if row]
        lines = sum(int(count) for row in rows for count in row[:2] if count != "-")
        return Patch(patch.message, patch.diff, tuple(row[2] for row in rows), lines)

    def names(self) -> list[str]:
        """Return the paths of the tracked files."""
        listed = self._git("ls-files", "-z").decode("utf-8", "surrogateescape")
        return sorted({name for name in listed.split("\0") if name})

    def archive(self) -> bytes:
        """Return the tracked files as a tar.

        Not by ``git archive``, which leaves out what attributes tell it to: often the tests.
        """
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for name in self.names():
                path = self.folder / name
                if path.is_symlink() or path.is_file():
                    tar.add(path, name, recursive=False, filter=without_owner)
        return packed.getvalue()


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Forget whose file it is: in the fork it belongs to whoever unpacks it."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


# ---------------------------------------------------------------------------- the tests


def run_tests(runtime: Runtime, folder: str, tree: bytes) -> dict[str, str] | None:
    """Unpack a tree in the fork, run its tests, and return how each ended.

    Returns:
        ``passed``, ``failed`` or ``skipped`` by test; None when the run left no report.
    """
    make = runtime.run(["mkdir", "-p", f"{folder}/tree"], "/", 30)
    if make["exit_code"] != 0:
        raise Unmeasured(f"cannot make {folder} in the fork: {make['stderr'][-200:]!r}")
    parts = []
    for start in range(0, len(tree), CHUNK_BYTES):
        parts.append(f"{folder}/part-{start // CHUNK_BYTES:06d}")
        runtime.write(parts[-1], tree[start : start + CHUNK_BYTES])
    unpack = runtime.run(["sh", "-c", "cat part-* | tar -xf - --no-same-owner -C tree"], folder, 60)
    if unpack["exit_code"] != 0:
        raise Unmeasured(f"cannot unpack the tree in the fork: {unpack['stderr'][-200:]!r}")
    clean = ["PATH=/usr/local/bin:/usr/bin:/bin", f"HOME={folder}", "LC_ALL=C.UTF-8"]
    clean += [f"PYTHONPATH={folder}/tree/src:{folder}/tree", "PYTHONDONTWRITEBYTECODE=1"]
    pytest = ["-m", "pytest", "-q", "-o", "addopts=", "-p", "no:cacheprovider"]
    pytest += ["--continue-on-collection-errors", "--tb=no", f"--junitxml={folder}/report.xml"]
    command = ["env", "-i", *clean, "python3", "-s", *pytest]
    ended = runtime.run(command, f"{folder}/tree", SUITE_SECONDS)
    if ended["timed_out"]:
        return None
    report = runtime.run(["cat", f"{folder}/report.xml"], folder, 30)
    if report["exit_code"] != 0:
        said = (ended["stderr"] or ended["stdout"])[-200:]
        if b"No module named pytest" in said:
            raise Unmeasured("the box has no pytest")
        return None
    if report.get("truncated"):
        raise Unmeasured("the report of the tests is larger than the runtime hands over")
    return read_report(report["stdout"])


def read_report(report: bytes) -> dict[str, str]:
    """Read a JUnit report: how each test ended."""
    try:
        root = ElementTree.fromstring(report)
    except ElementTree.ParseError as error:
        raise Unmeasured(f"the report of the tests cannot be read: {error}") from error
    outcomes: dict[str, str] = {}
    for case in root.iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        kinds = {child.tag for child in case}
        bad = any(kind in kinds for kind in FAILURES)
        ended = "failed" if bad else "skipped" if "skipped" in kinds else "passed"
        worse = "failed" in (ended, outcomes.get(name))  # one that errs in tear-down is told twice
        outcomes[name] = "failed" if worse else ended
    return outcomes


def compare(before: dict[str, str], after: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the tests that are mended and those that are broken.

    A module that could not be collected counts as mended when it no longer fails and is gone.
    """
    broken = [
        name for name, ended in before.items() if ended == "passed" and after.get(name) != "passed"
    ]
    mended = [
        name
        for name, ended in before.items()
        if ended == "failed" and after.get(name, "passed" if ended_module(name) else "") == "passed"
    ]
    return sorted(mended), sorted(broken)


def ended_module(name: str) -> bool:
    """Return whether a report's entry stands for a module that could not be collected."""
    return name.startswith("::")


def named(names: list[str]) -> str:
    """Name a few tests and count the rest."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


# ---------------------------------------------------------------------------- the vote


def judge(runtime: Runtime, case: dict[str, Any]) -> tuple[float, str]:
    """Return the score and the note of a patch that is approved.

    Raises:
        Rejected: when it is not.
        Unmeasured: when that could not be found out.
    """
    if case["kind"] != "git":
        raise Unmeasured(f"this program judges git steps, not {case['kind']!r}")
    settings = case["settings"]
    patch = read_patch(base64.b64decode(case["payload_base64"]))
    with tempfile.TemporaryDirectory(prefix="audit-") as folder:
        checkout = Checkout(settings["repository"], settings.get("branch", "monastery"), folder)
        clean = checkout.archive()
        known = {top_of(name) for name in checkout.names()}
        patch = checkout.apply(patch)
        if not patch.files:
            raise Rejected(0.0, "the patch changes nothing")
        check_files(patch.files, known)
        patched = checkout.archive()
    place = f"/work/audit-{secrets.token_hex(4)}"
    before = run_tests(runtime, f"{place}/before", clean)
    if not before:
        raise Unmeasured("the tests of the clean tree left no report")
    after = run_tests(runtime, f"{place}/after", patched)
    if after is None:
        raise Rejected(0.05, "with the patch the tests end without a report, or not in time")
    mended, broken = compare(before, after)
    size = f"{patch.changed_lines} changed lines in {len(patch.files)} file(s)"
    if broken:
        raise Rejected(0.05, f"breaks {len(broken)}: {named(broken)}; mends {len(mended)}; {size}")
    if not mended:
        failing = sum(ended == "failed" for ended in before.values())
        raise Rejected(0.1, f"no progress: mends none of {failing} failing tests; {size}")
    small = min(1.0, 4 / max(patch.changed_lines, 1)) / len(patch.files)
    score = 0.6 + 0.3 * small + 0.1 * len(mended) / (len(mended) + 1)
    left = sum(ended == "failed" for ended in after.values())
    note = f"mends {len(mended)}: {named(mended)}; breaks none; {left} still fail; {size}"
    return score, note


def fail(reason: str) -> NoReturn:
    """End without a vote."""
    print(f"audit: {' '.join(reason.split())}", file=sys.stderr)
    sys.exit(1)


def main() -> None:
    """Judge the case on stdin."""
    runtime = Runtime(sys.stdout, sys.stdin)
    try:
        score, note = judge(runtime, runtime.case())
    except Rejected as rejected:
        runtime.vote("reject", rejected.score, rejected.note)
    except Unmeasured as unmeasured:
        fail(str(unmeasured))
    except (KeyError, ValueError, OSError) as error:
        fail(f"{type(error).__name__}: {error}")
    else:
        runtime.vote("approve", score, note)


if __name__ == "__main__":
    main()
