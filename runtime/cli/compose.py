"""The composition root: the only module that imports sandboxes, auditors and policies."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from monastery.auditor.command import CommandAuditor
from monastery.auditor.person import PersonAuditor
from monastery.auditor.seats import PanelAuditor
from monastery.policies.local.policy import LocalPolicy
from monastery.policies.provider import ProviderPolicy
from monastery.policies.replayed import ReplayedPolicy
from monastery.policies.scripted import ScriptedPolicy
from monastery.runtime.cli import audit_answers, output
from monastery.runtime.cli.rendering import executors
from monastery.runtime.episodes import Episodes
from monastery.runtime.errors import BadInput, Unfit
from monastery.runtime.journal import Record
from monastery.runtime.ports import Auditor, Copies, Desk, Policy, Sandbox, Web
from monastery.runtime.project import (
    STANDARD_IMAGE,
    AuditorSettings,
    CommandAuditorSettings,
    LocalPolicySettings,
    PanelAuditorSettings,
    PlantedSettings,
    ReplayedPolicySettings,
    ScriptedPolicySettings,
)
from monastery.runtime.project_file import Loaded
from monastery.runtime.records import BoxSpec
from monastery.runtime.replay import recorded_calls
from monastery.runtime.run import World
from monastery.runtime.store import Store
from monastery.runtime.web.cached import CachedWeb
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.examine import examine
from monastery.sandbox.finding import Finding
from monastery.sandbox.images import BoxImage, Images
from monastery.sandbox.weak import run_weak

__all__ = [
    "BoxImage",
    "Finding",
    "copies",
    "episodes",
    "examine",
    "run_weak",
    "sandbox",
    "world",
]


def world(loaded: Loaded, desk: Desk, calls: int, *, sandbox: Sandbox, home: Path) -> World:
    """Return the adapters that a project asks for.

    Args:
        loaded: The project.
        desk: Where questions to people are put.
        calls: How many of the run's model calls reached the policy already.
        sandbox: Where its box is opened; several runs may share one.
        home: Where the journals are, of a run that is replayed too.

    Raises:
        MonasteryError: One of them cannot be had.
    """
    return World(
        sandbox=sandbox,
        auditors=[_auditor(one, loaded, desk) for one in loaded.project.audit.auditors],
        executors=executors(loaded, desk),
        policy=_policy(loaded, calls, home),
        web=_web(loaded),
    )


def episodes(
    loaded: Loaded,
    folder: Path,
    home: Path,
    asked: Mapping[str, float] = MappingProxyType({}),
    *,
    resume: bool = False,
    watch: Callable[[Record], None] = lambda record: None,
) -> Episodes:
    """Return a training of a project's local model, ready for its next episode.

    Args:
        loaded: The project.
        folder: For the model, its optimiser and the curve.
        home: Where the journals are.
        asked: Some of `seed`, `learning_rate`, `baseline` and `clip`.
        resume: Whether the training of the folder goes on; else there must be none.
        watch: Told of every event of its runs.

    Raises:
        BadInput: The project's policy is not local, or what is asked for does not fit the folder.
        Unfit: A library is missing, or the model cannot be loaded.
    """
    policy, home = loaded.project.policy, home.resolve()
    if not isinstance(policy, LocalPolicySettings):
        raise BadInput(f"{loaded.path}: trains `policy: {{local: FOLDER}}`; its policy is another")
    try:
        from monastery.policies.local.training import LocalTraining
    except ImportError as exc:
        raise Unfit(f"{exc.name} is missing; pip install 'monastery[local,train]'") from exc
    training = LocalTraining.begin(
        policy,
        loaded.folder / policy.local,
        folder,
        asked,
        project=hashlib.sha256(loaded.source).hexdigest(),
        resume=resume,
    )

    def build(desk: Desk, calls: int) -> World:
        return world(loaded, desk, calls, sandbox=sandbox(home), home=home)

    return Episodes(loaded, training, home, build, say=output.note, watch=watch)


def sandbox(home: Path | None = None) -> Sandbox:
    """Return the sandbox of this machine's engine.

    Args:
        home: Where the journals of the runs are kept, so that a box can outlive its runtime.
    """
    return DockerSandbox(home=home, say=output.note)


def copies(home: Path) -> Copies:
    """Return what copies the boxes of a home's runs from outside of them."""
    return DockerSandbox(home=home, say=output.note)


async def image(spec: BoxSpec) -> str:
    """Return the image of a box: its name, or its digest after packages were added to it."""
    if spec.packages is None:
        return spec.image
    return await Images(say=output.note).with_packages(spec.image, spec.packages)


async def image_facts(spec: BoxSpec) -> BoxImage:
    """Return what is to be known of a box's image, which is made if it is not there."""
    return await Images(say=output.note).facts(spec.image, spec.packages)


async def images() -> list[BoxImage]:
    """Return the box images that there are."""
    return await Images().all(STANDARD_IMAGE)


def _auditor(settings: AuditorSettings, loaded: Loaded, desk: Desk) -> Auditor:
    if isinstance(settings, CommandAuditorSettings):
        return CommandAuditor(
            settings.name, settings.command, settings.timeout_seconds, loaded.folder
        )
    audit = loaded.project.audit
    wants = {
        "two_votes": audit.second_vote,
        "runner": audit_answers.login_name(),
        "runner_may": audit.runner_audits,
        # A box whose audit is deferred has long gone on.
        "dig": audit.dig if audit.mode == "blocking" else "never",
        **({"canned": audit.canned} if audit.feedback == "canned" else {}),
        **_planted(audit.planted),
    }
    if isinstance(settings, PanelAuditorSettings):
        return PanelAuditor(
            settings.name,
            settings.votes,
            settings.apart,
            settings.timeout_seconds,
            desk,
            wants=wants,
            compares=settings.compares,
            score=audit.score,
            decision=audit.decision,
        )
    return PersonAuditor(settings.name, settings.timeout_seconds, desk, wants=wants)


def _planted(settings: PlantedSettings | None) -> dict[str, Any]:
    """Return what the desk must know of planted questions; not where they lie."""
    if settings is None or settings.rate == 0.0:
        return {}
    return {"planted": {"rate": settings.rate, "floor": settings.floor}}


def _web(loaded: Loaded) -> Web | None:
    settings = loaded.project.cached_web
    return None if settings is None else CachedWeb(loaded.folder / settings.path)


def _policy(loaded: Loaded, calls: int, home: Path) -> Policy | None:
    settings = loaded.project.policy
    if settings is None:
        return None
    if isinstance(settings, ScriptedPolicySettings):
        return ScriptedPolicy(loaded.folder / settings.scripted, start=calls)
    if isinstance(settings, ReplayedPolicySettings):
        with Store.open(home) as store:
            return ReplayedPolicy(settings.replayed, recorded_calls(store, settings.replayed))
    if isinstance(settings, LocalPolicySettings):
        return LocalPolicy(settings, loaded.folder / settings.local)
    return ProviderPolicy(settings)
