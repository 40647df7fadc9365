"""The agent's program: what is started in the box, with which variables.

A project names a command, or asks for the built-in agent; that one reads what it is to do from one
variable (`sandbox/inside/monastery_agent.py`). It is told what each step kind takes, and of the
kind's settings what it needs to propose well: names and addresses that are allowed, no folder of
the host, no secret.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monastery.runtime.project import BuiltinAgentSettings, Project, StepSettings

PAYLOADS: Mapping[str, str] = {
    "ask": "a question to a person: text",
    "command": 'a program outside: JSON {"command": NAME, "arguments": {NAME: TEXT}}',
    "email": 'a message in plain text: JSON {"to": [ADDRESS], "subject": TEXT, "text": TEXT};'
    ' may be added: "cc", "bcc", "in_reply_to", "attachments":'
    ' {NAME: {"text": TEXT} or {"base64": DATA}}',
    "file": 'files to deliver: JSON {"files": {PATH: {"text": TEXT} or {"base64": DATA}}}',
    "git": "a commit: the commit message, an empty line, then a patch as"
    " `git diff --binary --no-renames` prints it; write both into one file, the payload",
    "http": 'a request: JSON {"method": METHOD, "url": URL}; may be added: "headers", and a body as'
    ' "text" or "base64"',
    "human": "something that a person is to do: text",
    "plan": 'a decomposition of the task, for the record: JSON {"steps": [TEXT]}',
    "ssh": 'a command for a host\'s sh: JSON {"host": NAME, "command": TEXT}',
}
"""What a payload of each step kind looks like, for a model; docs/steps.md says it in full."""


@dataclass(frozen=True, slots=True)
class Program:
    """What is started: its argv, and the variables that are added for it."""

    argv: Sequence[str]
    env: Mapping[str, str]


def program(project: Project) -> Program:
    """Return the program that a project's agent is."""
    agent = project.agent
    if not isinstance(agent, BuiltinAgentSettings):
        return Program(agent.command, agent.env)
    own, policy = agent.builtin, project.policy
    models = policy.models if policy is not None else []
    apis = (policy.apis if policy is not None else None) or ("openai.chat",)
    spoken = {"openai": "openai.chat", "anthropic": "anthropic.messages", None: apis[0]}
    told = {
        "goal": project.goal,
        "kinds": {kind: kind_told(kind, settings) for kind, settings in project.steps.items()},
        "api": spoken[own.api],
        "model": own.model or (models[0] if models else "any"),
        "context_tokens": own.context_tokens,
        "command_seconds": own.command_seconds,
        "instructions": own.instructions,
    }
    return Program(["monastery-agent"], {"MONASTERY_AGENT": json.dumps(told), **agent.env})


def kind_told(kind: str, settings: StepSettings) -> str:
    """Return what a model is told of a step kind as a project allows it."""
    text = PAYLOADS.get(kind, "bytes")
    allowed = _ALLOWED.get(kind)
    if allowed is None:
        return text
    return f"{text}. Allowed: {json.dumps(allowed(settings), ensure_ascii=False)}"


def _commands(settings: Any) -> Any:
    """Each command's arguments, and what each may be; the programs themselves are the host's."""
    bounds = {
        name: one.choices if one.choices is not None else f"matches {one.pattern}"
        for name, one in settings.arguments.items()
    }
    return {
        name: {key: bound for key, bound in bounds.items() if any(f"{{{key}}}" in a for a in argv)}
        for name, argv in settings.allow.items()
    }


def _places(settings: Any) -> Any:
    return [f"{'/'.join(place.methods)} {place.url}" for place in settings.allow]


_ALLOWED: Mapping[str, Callable[[Any], Any]] = {
    "command": _commands,
    "email": lambda settings: settings.allow,
    "http": _places,
    "ssh": lambda settings: {
        name: host.commands or "any command" for name, host in settings.hosts.items()
    },
}
