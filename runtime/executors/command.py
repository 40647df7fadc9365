"""The kind ``command``: one of the programs that the project allows is run, without a shell."""

import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors import payloads, process
from monastery.runtime.executors.context import Context, resolve
from monastery.runtime.executors.redaction import redact
from monastery.runtime.project import Argv, Seconds, Settings, Size, StepSettings
from monastery.runtime.records import Outcome, Step

MARK = "MONASTERY_STEP_KEY"
"""The variable in which the program finds the step's key, the same for every attempt."""

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
_REFERENCE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
_PASSED_ON = ("PATH", "HOME", "LANG")
_MAX_VALUE_CHARS = 4096

CommandName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
ArgumentName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class ArgumentSettings(Settings):
    """What an argument may be: one of `choices`, or all of it matching `pattern`."""

    pattern: str | None = None
    choices: list[str] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.pattern is None) == (self.choices is None):
            raise ValueError("write either a pattern or choices")
        try:
            re.compile(self.pattern or "")
        except re.error as exc:
            raise ValueError(f"{self.pattern!r} is no regular expression: {exc}") from exc
        return self


class CommandSettings(StepSettings):
    """Settings of the kind ``command``.

    Attributes:
        allow: The programs by the name that a proposal calls them: their argv, in which ``{name}``
            stands for an argument. An argument never becomes more than one element.
        arguments: What each argument may be.
        cwd: The folder in which programs run; None is the project's.
        env: Variables beside PATH, HOME and LANG. A value ``$NAME`` is taken from the runtime's own
            environment when the program starts, and never shown or recorded.
        timeout_seconds: After this the program and all that it started are killed.
        max_output: How much of stdout, and of stderr, the agent is told.
        idempotent: Whether running twice with the same key does no harm. Only then is a command
            run again when a crash left its outcome unknown.
    """

    allow: dict[CommandName, Argv]
    arguments: dict[ArgumentName, ArgumentSettings] = Field(default_factory=dict)
    cwd: str | None = None
    env: dict[VariableName, str] = Field(default_factory=dict)
    timeout_seconds: Seconds = 60.0
    max_output: Size = 64 << 10
    idempotent: bool = False

    def can_look(self) -> bool:
        """Whether it may be run again to find out: nothing else tells what a program did."""
        return self.idempotent


class _Call(payloads.Strict):
    command: str
    arguments: dict[str, str] = Field(default_factory=dict)


class CommandExecutor:
    """Runs programs that the project's owner wrote down, with arguments that the owner bounded."""

    kind = "command"
    Settings: ClassVar[type[StepSettings]] = CommandSettings

    def __init__(self, settings: CommandSettings, context: Context) -> None:
        self._settings = settings
        self._cwd = resolve(context.folder, settings.cwd or ".")

    @classmethod
    def faults(cls, settings: CommandSettings, folder: Path) -> list[str]:
        """Return what is wrong with the allowed programs, their arguments and variables."""
        faults = []
        if not settings.allow:
            faults.append("allow: is empty; name at least one program")
        cwd = resolve(folder, settings.cwd or ".")
        if not cwd.is_dir():
            faults.append(f"cwd: {str(cwd)!r} is no folder; make it, or name another")
        for name, argv in settings.allow.items():
            faults += _program_faults(name, argv, settings, cwd)
        used = {name for argv in settings.allow.values() for name in _placeholders(argv)}
        for name in settings.arguments.keys() - used:
            faults.append(f"arguments.{name}: no program has it; take it out")
        for name, value in settings.env.items():
            reference = _REFERENCE.fullmatch(value)
            if name == MARK:
                faults.append(f"env.{name}: the runtime sets this itself; take it out")
            elif reference and reference[1] not in os.environ:
                faults.append(f"env.{name}: {value} is not set; export it before the run")
        if settings.unknown == "look" and not settings.can_look():
            faults.append("unknown: is 'look', but only an `idempotent: true` one can; write ask")
        return faults

    def check(self, payload: bytes) -> None:
        """Refuse a program that is not allowed, or arguments beyond their bounds."""
        self._argv(payload)

    def render(self, payload: bytes) -> str:
        """Return the exact argv, one element a line, and the folder."""
        argv = "\n".join(f"  {_quoted(part)}" for part in self._argv(payload))
        return f"Run, without a shell:\n{argv}\nin {_quoted(str(self._cwd))}"

    async def execute(self, step: Step) -> Outcome:
        """Run the program to its end or its time limit; an interrupt waits for that.

        Raises:
            MonasteryError: It could not be killed.
        """
        argv = self._argv(step.payload)
        try:
            secrets = _secrets(self._settings.env)
            ended = await process.run(
                argv,
                cwd=self._cwd,
                env=_environment(self._settings.env, secrets, step.key),
                mark=MARK,
                timeout_seconds=self._settings.timeout_seconds,
                max_output_bytes=self._settings.max_output,
            )
        except (OSError, KeyError) as exc:
            return Outcome("failed", {"reason": f"{argv[0]!r} could not be started: {exc}"})
        content = {
            "exit_code": ended.exit_code,
            "stdout": redact(ended.stdout, secrets, cut_off=ended.truncated),
            "stderr": redact(ended.stderr, secrets, cut_off=ended.truncated),
            "truncated": ended.truncated,
            "timed_out": ended.exit_code is None,
            "argv": argv,
        }
        return Outcome("done" if ended.exit_code == 0 else "failed", content)

    async def reconcile(self, step: Step) -> Outcome | None:
        """Run an idempotent command again; of any other only a person can tell."""
        return await self.execute(step) if self._settings.idempotent else None

    def _argv(self, payload: bytes) -> list[str]:
        """Return the argv that a payload asks for."""
        call = payloads.parse(payload, _Call)
        template = self._settings.allow.get(call.command)
        if template is None:
            allowed = ", ".join(self._settings.allow)
            raise BadPayload(f"the command {call.command[:80]!r} is not one of: {allowed}")
        wanted = _placeholders(template)
        if call.arguments.keys() != wanted:
            raise BadPayload(
                f"{call.command!r} takes the arguments {sorted(wanted)}, and exactly these; "
                f"it was given {sorted(call.arguments)[:20]}"
            )
        for name, value in call.arguments.items():
            _bound(name, value, self._settings.arguments[name])
        argv = []
        for part in template:
            filled = _PLACEHOLDER.sub(lambda match: call.arguments[match[1]], part)
            if filled.startswith("-") and not part.startswith("-"):
                _optional(part, self._settings.arguments)
            argv.append(filled)
        return argv


def _placeholders(argv: list[str]) -> set[str]:
    return {name for part in argv for name in _PLACEHOLDER.findall(part)}


def _bound(name: str, value: str, settings: ArgumentSettings) -> None:
    """Refuse a value beyond its argument's bounds."""
    if "\0" in value or len(value) > _MAX_VALUE_CHARS:
        raise BadPayload(f"argument {name!r} holds a NUL or over {_MAX_VALUE_CHARS} characters")
    if any(0xD800 <= ord(char) < 0xE000 for char in value):
        raise BadPayload(f"argument {name!r} holds half a surrogate pair")
    if settings.choices is not None and value not in settings.choices:
        raise BadPayload(f"argument {name!r} is {value[:80]!r}, allowed are {settings.choices}")
    if settings.pattern is not None and re.fullmatch(settings.pattern, value) is None:
        raise BadPayload(f"argument {name!r} is {value[:80]!r}, not {settings.pattern!r}")


def _optional(part: str, arguments: Mapping[str, ArgumentSettings]) -> None:
    """Refuse an element that an argument turns into an option, if its owner did not list that."""
    match = _PLACEHOLDER.match(part)
    if match is None or arguments[match[1]].choices is None:
        raise BadPayload(f"an argument of {part!r} begins with '-' and would be an option")


def _secrets(env: Mapping[str, str]) -> dict[str, str]:
    """Return the values that variables refer to, by the variable's name.

    Raises:
        KeyError: One is not set.
    """
    found = {name: _REFERENCE.fullmatch(value) for name, value in env.items()}
    return {name: os.environ[match[1]] for name, match in found.items() if match}


def _environment(env: Mapping[str, str], secrets: Mapping[str, str], key: str) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed_on | dict(env) | dict(secrets) | {MARK: key}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _program_faults(name: str, argv: list[str], settings: CommandSettings, cwd: Path) -> list[str]:
    faults = [
        f"allow.{name}: {{{missing}}} is not described; add it under arguments"
        for missing in sorted(_placeholders(argv) - settings.arguments.keys())
    ]
    program = argv[0]
    if _PLACEHOLDER.search(program):
        faults.append(f"allow.{name}: the program itself cannot be an argument; write its name")
    elif shutil.which(str(cwd / program) if "/" in program else program) is None:
        faults.append(f"allow.{name}: {program!r} cannot be run; install it or make it executable")
    if any("\0" in part for part in argv):
        faults.append(f"allow.{name}: holds a NUL; take it out")
    return faults
