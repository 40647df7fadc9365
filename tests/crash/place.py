"""A project under test, and the world outside it that counts effects: files that only grow.

Three kinds act, each in its own way: `command` appends to a log or makes a file once for each key,
`file` delivers, `git` commits. `plan` and `ask` are there for their records.
"""

import json
import os
import random
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.crash.oracle import Effect, Expected

ACTING = frozenset({"command", "file", "git"})

AGENT = """\
import json, random
from monastery_box import history, model, propose

plan = json.load(open("plan.json"))
for kind, payload in plan[len(history()):]:
    print("about", kind, flush=True)
    if random.random() < 0.5:
        assert "text" in model({"prompt": kind})
    if random.random() < 0.1:
        assert propose("command", "bad", "to see what happens")["status"] == "rejected"
    open("notes", "a").write(kind)
    propose(kind, payload, "It is planned.")
"""

APPEND = """\
#!/bin/sh
printf '%s %s\\n' "$MONASTERY_STEP_KEY" "$1" >> log
echo kept
"""

MAKE = """\
#!/bin/sh
printf '%s\\n' "$1" > "keys/.$$"
ln "keys/.$$" "keys/$MONASTERY_STEP_KEY" 2> /dev/null
rm "keys/.$$"
test -e "keys/$MONASTERY_STEP_KEY"
"""

JUDGE = """\
#!/bin/sh
read -r case
FORK
case "$case" in
    *unwise*) echo '{"vote": {"decision": "reject", "score": 0.1}}' ;;
    *) echo '{"vote": {"decision": "approve", "score": 0.9}}' ;;
esac
"""

LOOK = """echo '{"run": ["true"]}'; read -r answer"""

REPLIES = """\
{"when": {"contains": "prompt"}, "response": {"text": "yes"}}
"""

PROJECT = """\
name: {name}
goal: Do each planned step once.
agent: {{command: [python3, agent.py]}}
box:
  memory: 256 MiB
  files: [{{from: agent.py, to: agent.py}}, {{from: plan.json, to: plan.json}}]
steps:
  plan: {{}}
  ask: {{}}
  file: {{folder: delivered}}
  git: {{repository: repository}}
  command:
    idempotent: {idempotent}
    allow: {{act: [./act, "{{text}}"]}}
    arguments: {{text: {{pattern: "[a-z0-9 ]+"}}}}
audit:
  rate: 0.5
  mode: {mode}
  auditors: {auditors}
policy: {{scripted: replies.jsonl}}
"""


@dataclass
class Place:
    """A folder with a project, made by chance, and all that its steps may do.

    Attributes:
        text: The word in each step's payload by which its effect is known again.
    """

    folder: Path
    name: str
    chance: random.Random
    plan: list[tuple[str, bytes]] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Write it."""
        chance, folder = self.chance, self.folder
        kinds = ["command", "command", "file", "git", "plan", "ask"]
        for number, kind in enumerate(chance.choices(kinds, k=chance.randint(4, 7)), 1):
            text = f"step {number} {'unwise' if chance.random() < 0.15 else 'wise'}"
            payload = _payload(kind, text)
            self.texts[text] = payload
            self.plan.append((kind, payload))
        self.idempotent, self.blocking = chance.random() < 0.5, chance.random() < 0.7
        for made in ("delivered", "keys", "repository"):
            (folder / made).mkdir(parents=True)
        (folder / "agent.py").write_text(AGENT)
        (folder / "plan.json").write_text(json.dumps([(k, p.decode()) for k, p in self.plan]))
        (folder / "replies.jsonl").write_text(
            '{"when": {"contains": "prompt"}, "response": {"text": "yes"}}\n'
        )
        look = LOOK if self.blocking and chance.random() < 0.3 else ""
        _program(folder / "judge", JUDGE.replace("FORK", look))
        _program(folder / "act", MAKE if self.idempotent else APPEND)
        people = chance.random() < 0.3
        auditors: list[dict[str, Any]] = [{"name": "judge", "command": ["./judge"]}]
        if people:
            auditors.append({"person": "ada"})
        self.project.write_text(
            PROJECT.format(
                name=self.name,
                idempotent=json.dumps(self.idempotent),
                mode="blocking" if self.blocking else "deferred",
                auditors=json.dumps(auditors),
            )
        )
        _git(folder, "init", "-q")
        _git(folder, *_AUTHOR, "commit", "-q", "--allow-empty", "-m", "beginning")

    @property
    def project(self) -> Path:
        """The project file."""
        return self.folder / "project.yaml"

    @property
    def home(self) -> Path:
        """Where its journal is."""
        return self.folder / "home"

    @property
    def expected(self) -> Expected:
        """What its run is to do."""
        return Expected(self.plan, ACTING, self.blocking)

    def effects(self, run: str) -> list[Effect]:
        """Return what was done, from the things themselves."""
        found = []
        kept = self.folder / "log"
        for line in kept.read_text().splitlines() if kept.exists() else []:
            key, _, text = line.partition(" ")
            found.append(self._effect(key, text))
        for path in (self.folder / "keys").glob("[!.]*"):
            found.append(self._effect(path.name, path.read_text().strip()))
        for path in (self.folder / "delivered").glob("[!.]*"):
            number = path.read_text().split()[1]
            found.append(self._effect(f"{run}.{number}", path.read_text()))
        if _git(self.folder, "branch", "--list", "monastery"):
            for message in _git(self.folder, "log", "--format=%B%x00", "main..monastery").split(
                "\0"
            ):
                if message.strip():
                    title, *_, trailer = message.strip().splitlines()
                    found.append(self._effect(trailer.partition(": ")[2], title))
        return found

    def leftovers(self) -> list[str]:
        """Return what a delivery left aside and never took away."""
        return [str(path) for path in (self.folder / "delivered").glob(".*")]

    def _effect(self, segment: str, text: str) -> Effect:
        return Effect(segment, self.texts.get(text, text.encode()))


def still_acting(key: str) -> bool:
    """Whether a process of the step with this key is alive: who resolves it looks first."""
    entry = f"MONASTERY_STEP_KEY={key}".encode()
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            if entry in process.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


_AUTHOR = ("-c", "user.name=Nobody", "-c", "user.email=nobody@monastery.invalid")


def _payload(kind: str, text: str) -> bytes:
    name = text.replace(" ", "-")
    match kind:
        case "command":
            return json.dumps({"command": "act", "arguments": {"text": text}}).encode()
        case "file":
            return json.dumps({"files": {name: {"text": text}}}).encode()
        case "git":
            return (
                f"{text}\n\ndiff --git a/{name} b/{name}\nnew file mode 100644\n"
                f"index 0000000..{_blob(text)[:7]}\n--- /dev/null\n+++ b/{name}\n"
                f"@@ -0,0 +1 @@\n+{text}\n"
            ).encode()
    return text.encode()


def _blob(text: str) -> str:
    """Return git's name for a file that holds this line."""
    argv = ["git", "hash-object", "--stdin"]
    done = subprocess.run(argv, input=f"{text}\n", capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _git(folder: Path, *arguments: str) -> str:
    argv = ["git", "-c", "init.defaultBranch=main", "-C", str(folder / "repository"), *arguments]
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
