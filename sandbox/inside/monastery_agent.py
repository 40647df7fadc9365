"""The built-in agent: a model with a shell, files, notes, and a way to propose. One loop.

The guest writes it to /run/monastery/bin/monastery-agent with the interpreter's path above it. What
it is to do stands in MONASTERY_AGENT, a JSON object: `goal`, `kinds` (each step kind, and what its
payload looks like), `api` ("openai.chat" or "anthropic.messages"), `model`, `context_tokens`,
`command_seconds` and `instructions`.

It keeps nothing but its notes, a file in the work folder. When the conversation fills its context,
the model writes the notes anew and begins again from them; when the program is started again after
a stop, it begins from them too, and from the run's history, which is newer than any note.

Exit codes: 0 the model says that the goal is reached, 1 it gave up, 3 no model answers any more.
"""

# pathlib would make every start later by the time of its import:
# ruff: noqa: PTH103, PTH105, PTH109, PTH110, PTH118, PTH120, PTH123

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import Any

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True

import monastery_box  # type: ignore[import-not-found]  # noqa: E402 - found beside this file only
import monastery_chat as chat  # type: ignore[import-not-found]  # noqa: E402 - the same

NOTES = "AGENT_NOTES.md"
FULL = 0.7  # of the context: then the notes are written anew
SHARE = 0.2  # of the context: what one turn's results, the notes or the history may fill
SILENT_TURNS = 3  # answers without a tool, one after another; then the model has given up

SYSTEM = """\
You work on a long project, alone, in a Linux box without a network. Your work folder is {work}.
Nothing that you do here has any effect outside. To have something done outside you propose a step:
exact bytes of one of the kinds below. The box is frozen while it is judged, and perhaps audited;
then you are told what came of it: done, rejected, expired, failed or unknown. Propose what is ready
and checked, one step at a time, with an honest rationale.

The goal: {goal}

Step kinds:
{kinds}

Your memory is short. What you will need later belongs in {notes} in the work folder, which the
tool `note` adds to: decisions and why, what is done, what is next. You may be stopped and started
again at any step; then you have that file, the work folder and the list of past steps, no more.
Use a tool in every answer. Call `finish` when the goal is reached, or cannot be.
{instructions}"""

SUMMARISE = """\
Your context is full, and this conversation ends here. Write the notes anew, whole: they will be all
that you have, beside the work folder and the list of past steps. Keep what still matters: what you
found out, decisions and why, the state of the work, what is next. Answer with the notes alone."""

GO_ON = "Nobody reads your answers here: go on with a tool, or call `finish`."


class Stop(Exception):
    """The end: an exit code, and why."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Agent:
    """The loop. `told` is what MONASTERY_AGENT holds."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.told = told
        self.model = chat.Model(told["api"], told["model"])
        self.messages: list[dict[str, Any]] = []
        self.tokens = 0
        self.steps = monastery_box.history()
        self.tools = {name: one for name, one in chat.TOOLS.items() if self.has(name)}
        kinds = "\n".join(f"- {kind}: {text}" for kind, text in told["kinds"].items())
        facts = {name: told[name] for name in ("goal", "instructions")}
        self.system = SYSTEM.format(work=os.getcwd(), kinds=kinds, notes=NOTES, **facts)
        self.begin()

    def has(self, tool: str) -> bool:
        """Whether there is what a tool needs."""
        if tool == "ask":
            return "ask" in self.told["kinds"]
        return tool != "web" or shutil.which("web") is not None

    # The conversation.

    def live(self) -> None:
        """Let the model work until it finishes, or until none answers."""
        silent = 0
        while True:
            if self.tokens > FULL * self.told["context_tokens"]:
                self.summarise()
            try:
                answer = self.model.ask(self.system, self.messages, self.tools)
            except chat.TooLong as error:
                if len(self.messages) == 1:
                    raise Stop(3, f"the context is too small to begin in: {error}") from error
                self.begin(lost=True)
                continue
            if answer.text:
                print(answer.text, flush=True)
            self.messages.append(answer.message)
            self.tokens = answer.tokens or chat.estimate(self.system, self.messages, self.tools)
            silent = 0 if answer.calls else silent + 1
            if silent >= SILENT_TURNS:
                raise Stop(1, f"the model used no tool in {silent} answers")
            if answer.calls:
                room = self.room() // len(answer.calls)
                results = [(call.id, cut(self.use(call), room)) for call in answer.calls]
                self.add(self.model.results(results))
            else:
                why = "Your answer was cut off: it was too long. " if answer.is_cut else ""
                self.add([{"role": "user", "content": why + GO_ON}])

    def begin(self, *, lost: bool = False) -> None:
        """Begin a conversation from the notes and the history."""
        notes, steps = self.notes(), "\n".join(told(step) for step in self.steps)
        text = [
            f"Your notes ({NOTES}):\n{cut(notes, self.room()) or '(none yet)'}",
            f"Past steps, newer than the notes where they differ; all of them are in the file"
            f" {os.environ['MONASTERY_HISTORY']} as of your start:\n"
            f"{cut(steps, self.room(), head=0.0) or '(none yet)'}",
        ]
        if lost:
            text.append("What you did since your last note is lost; look at the work folder.")
        self.messages = [{"role": "user", "content": "\n\n".join([*text, "Go on."])}]
        self.tokens = chat.estimate(self.system, self.messages, self.tools)

    def summarise(self) -> None:
        """Have the notes written anew, and begin again from them."""
        print("(the context is full: writing the notes anew)", flush=True)
        asked = [*self.messages, {"role": "user", "content": SUMMARISE}]
        try:
            text = self.model.ask(self.system, asked, self.tools, may_call=False).text
        except chat.TooLong:
            text = ""
        if text:
            with open(NOTES + ".new", "w", encoding="utf-8") as file:
                file.write(text + "\n")
            os.replace(NOTES + ".new", NOTES)
        self.begin(lost=not text)

    def add(self, messages: list[dict[str, Any]]) -> None:
        """Add to the conversation what the model is told."""
        self.messages += messages
        self.tokens += chat.estimate(messages)

    def room(self) -> int:
        """Return how much one part of the conversation may fill [characters]."""
        return int(SHARE * self.told["context_tokens"] * chat.TOKEN_CHARACTERS)

    def notes(self) -> str:
        """Return the notes."""
        if not os.path.exists(NOTES):
            return ""
        with open(NOTES, encoding="utf-8", errors="replace") as file:
            return file.read()

    # The tools.

    def use(self, call: Any) -> str:
        """Do what the model called for; what went wrong is for the model to read."""
        try:
            known = chat.arguments(self.tools, call)
            print(f"> {call.name} {call.arguments}"[:2000], flush=True)
            result: str = getattr(self, "do_" + call.name)(**known)
        except (OSError, ValueError, monastery_box.Refused) as error:
            return f"error: {error}"
        return result

    def do_shell(self, command: str, seconds: int = 0) -> str:
        """Run a command; time for which the box is frozen does not count."""
        left = seconds or self.told["command_seconds"]
        # A file and not a pipe: what the command leaves running must not hold us here.
        with tempfile.TemporaryFile() as output:
            started = subprocess.Popen(
                ["bash", "-c", command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            while started.poll() is None and left > 0:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    started.wait(min(1, left))
                left -= 1
            ended = started.poll()
            if ended is None:
                os.killpg(started.pid, signal.SIGKILL)
                started.wait()
            text = ends(output.fileno(), self.room() // 2)
        how = "killed: it took too long" if ended is None else f"exit code {ended}"
        return f"{text}\n({how})"

    def do_read_file(self, path: str, first_line: int = 1, lines: int = 2000) -> str:
        """Return some lines of a file."""
        with open(path, encoding="utf-8", errors="replace") as file:
            found = [
                line for number, line in enumerate(file, 1) if 0 <= number - first_line < lines
            ]
        return "".join(found)

    def do_write_file(self, path: str, text: str) -> str:
        """Write a file anew."""
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return "written"

    def do_replace(self, path: str, old: str, new: str) -> str:
        """Replace a text that stands in a file once."""
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read()
        if text.count(old) != 1:
            raise ValueError(f"the old text stands {text.count(old)} times in {path}, not once")
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(text.replace(old, new))
        return "replaced"

    def do_note(self, text: str) -> str:
        """Add to the notes."""
        with open(NOTES, "a", encoding="utf-8") as file:
            file.write(text + "\n")
        return "noted"

    def do_web(self, action: str, what: str) -> str:
        """Search or read the cached web."""
        # What begins with a dash is looked for, and is no option.
        done = subprocess.run(["web", action, "--", what], capture_output=True, check=False)
        return (done.stdout + done.stderr).decode("utf-8", "replace")

    def do_propose(self, kind: str, rationale: str, **rest: Any) -> str:
        """Propose a step; return what came of it."""
        given = [name for name in ("payload", "payload_file", "files") if name in rest]
        if len(given) != 1:
            raise ValueError("give one of payload, payload_file and files")
        if "files" in rest:
            payload = monastery_box.wrapped(rest["files"])
        elif "payload" in rest:
            payload = rest["payload"].encode()
        else:
            payload = monastery_box.read(rest["payload_file"])
        if "note" in rest:
            self.do_note(rest["note"])
        evidence = {path: monastery_box.read(path) for path in rest.get("evidence", [])}
        outcome: dict[str, Any] = monastery_box.propose(kind, payload, rationale, evidence)
        self.steps.append(dict(outcome, payload=payload.decode("utf-8", "replace")))
        return json.dumps(outcome)

    def do_ask(self, question: str, rationale: str) -> str:
        """Ask a person."""
        return self.do_propose("ask", rationale, payload=question)

    def do_finish(self, reached: bool, why: str) -> str:
        """End."""
        raise Stop(0 if reached else 1, why)


def told(step: dict[str, Any]) -> str:
    """Return one line about a past step."""
    lines = (step.get("payload") or "(not shown)").splitlines() or [""]
    rest = json.dumps({name: step[name] for name in ("content", "feedback") if step.get(name)})
    return f"step {step['step']}, {step['kind']}: {step['status']}; {lines[0][:200]!r} {rest[:300]}"


def ends(fd: int, room: int) -> str:
    """Return the first and the last bytes of a file, at most `room` each, as text.

    Its position stays where it is: others may be writing there.
    """
    size = os.fstat(fd).st_size
    first = os.pread(fd, room, 0).decode("utf-8", "replace")
    rest = max(size - room, 0)
    left_out = f"\n… {rest - room} bytes left out …\n" if rest > room else ""
    return first + left_out + os.pread(fd, room, size - min(rest, room)).decode("utf-8", "replace")


def cut(text: str, characters: int, *, head: float = 0.5) -> str:
    """Return a text with its middle left out if it is too long; `head`: its beginning's share."""
    if len(text) <= characters:
        return text
    first = int(characters * head)
    left_out = f"\n… {len(text) - characters} characters left out …\n"
    return text[:first] + left_out + text[len(text) - (characters - first) :]


def main() -> int:
    """Work; return the exit code."""
    try:
        Agent(json.loads(os.environ["MONASTERY_AGENT"])).live()
    except Stop as stop:
        print(stop, flush=True)
        return stop.code
    except (chat.Failed, monastery_box.Refused) as error:
        print(f"monastery-agent: no model answers: {error}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
