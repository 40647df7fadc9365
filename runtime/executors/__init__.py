"""Executors: plain code, without intelligence, that carries out one kind of step each.

`KINDS` lists what there is. A project allows some of them, each with its own settings; a proposal
of any other kind is refused and the agent is told so.
"""

from collections.abc import Mapping
from types import MappingProxyType

from monastery.runtime.executors.ask import AskExecutor
from monastery.runtime.executors.command import CommandExecutor
from monastery.runtime.executors.context import Configured, Context
from monastery.runtime.executors.email import EmailExecutor
from monastery.runtime.executors.file import FileExecutor
from monastery.runtime.executors.git import GitExecutor
from monastery.runtime.executors.http import HttpExecutor
from monastery.runtime.executors.human import HumanExecutor
from monastery.runtime.executors.plan import PlanExecutor
from monastery.runtime.executors.ssh import SshExecutor

__all__ = ["KINDS", "Configured", "Context"]

KINDS: Mapping[str, type[Configured]] = MappingProxyType(
    {
        "ask": AskExecutor,
        "command": CommandExecutor,
        "email": EmailExecutor,
        "file": FileExecutor,
        "git": GitExecutor,
        "http": HttpExecutor,
        "human": HumanExecutor,
        "plan": PlanExecutor,
        "ssh": SshExecutor,
    }
)
"""The executor class of every kind, by name."""
