"""The project: a long task as its owner wrote it down. Shapes and bounds; no file is read here.

`project_file` reads the YAML and names the line of every fault; the composition root turns the
settings of auditors, policies and step kinds into the things themselves.
"""

import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from monastery.runtime.people import Digging
from monastery.runtime.planted import MOST_RATE
from monastery.runtime.records import Promise

_UNITS = {"B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40}
_UNITS |= {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _size(value: Any) -> Any:
    """Return the bytes that a size such as ``512 MiB`` means; pass on what is not text."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", value)
    if match is None or match[2].upper() not in _UNITS:
        raise ValueError(f"{value!r} is no size; write bytes or, say, 512 MiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def _rate(value: Any) -> Any:
    """Return the probability that a rate means: a number, ``always`` or ``never``."""
    words = {"always": 1.0, "never": 0.0}
    if isinstance(value, str):
        if value not in words:
            raise ValueError(f"{value!r} is no rate; write 0 to 1, always or never")
        return words[value]
    return value


def _digging(value: Any) -> Any:
    """Return when a copy of a box may be opened: YAML's false is never, and true always."""
    return {False: "never", True: "always"}[value] if isinstance(value, bool) else value


def _never(value: Any) -> Any:
    """Return the wait that ``never`` means: one without end."""
    if isinstance(value, str):
        if value != "never":
            raise ValueError(f"{value!r} is no time; write seconds, or never")
        return float("inf")
    return value


Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=int | str), Field(gt=0)]
Rate = Annotated[
    float, BeforeValidator(_rate, json_schema_input_type=float | str), Field(ge=0.0, le=1.0)
]
Seconds = Annotated[float, Field(gt=0.0)]
Patience = Annotated[
    float, BeforeValidator(_never, json_schema_input_type=float | str), Field(gt=0.0)
]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
DebianName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
REQUIREMENT = (
    r"^[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])?([<>=!~]=?[0-9A-Za-z.*+,<>=!~]+)?$"
)
Requirement = Annotated[str, Field(pattern=REQUIREMENT)]
SENTENCE = r"^\S[^\n]{0,299}$"
Sentence = Annotated[str, Field(pattern=SENTENCE)]
STANDARD_IMAGE = "monastery-box:latest"
Argv = Annotated[list[str], Field(min_length=1)]
MOST_ALTERNATIVES = 8


class Settings(BaseModel):
    """The base of every part of a project file: unknown fields are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class StepSettings(Settings):
    """What every step kind has; each kind adds its own.

    `audit` is how often a step of this kind is audited; None takes the project's rate. `unknown` is
    what happens when the runtime died between a step's intent and its outcome: its executor looks,
    or a person is asked at once; None leaves it to the kind. Of an `irreversible` kind no step is
    carried out before two people have approved it, audited or not.
    """

    audit: Rate | None = None
    irreversible: bool = False
    unknown: Literal["look", "ask"] | None = None

    def can_look(self) -> bool:
        """Whether the kind, set so, can find out by itself what became of a step."""
        return True

    def looks(self) -> bool:
        """Whether the executor finds out what became of a step before a person is asked."""
        return self.can_look() and self.unknown != "ask"


class CommandAgentSettings(Settings):
    """The program that thinks, started in the box's work folder."""

    command: Argv
    env: dict[str, str] = {}


class BuiltinSettings(Settings):
    """The agent that comes with Monastery: a model with a shell, files and notes.

    Attributes:
        model: One of the policy's models; None takes the first.
        api: Which of its APIs is spoken; None takes the policy's own.
        context_tokens: How much of the model's context it fills before it begins again from notes.
        command_seconds: How long a shell command may run, where the model does not say.
        instructions: What the model is told beside the goal and the step kinds.
    """

    model: str | None = None
    api: Literal["openai", "anthropic"] | None = None
    context_tokens: Annotated[int, Field(ge=8000)] = 100_000
    command_seconds: Annotated[int, Field(gt=0)] = 600
    instructions: Annotated[str, Field(max_length=20_000)] = ""


class BuiltinAgentSettings(Settings):
    """The built-in agent instead of a program of one's own."""

    builtin: BuiltinSettings
    env: dict[str, str] = {}


AgentSettings = CommandAgentSettings | BuiltinAgentSettings


class FileSettings(Settings):
    """A file or folder of the host that the box starts with a copy of."""

    source: Annotated[str, Field(alias="from", min_length=1)]
    to: Annotated[str, Field(min_length=1)]

    @field_validator("to")
    @classmethod
    def _inside(cls, value: str) -> str:
        path = PurePosixPath(value)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"{value!r} leaves the work folder; write a relative path without ..")
        return value


class ImageSettings(Settings):
    """An image that is made of a local one by adding Debian packages and pip packages."""

    base: Annotated[str, Field(alias="from", min_length=1)] = STANDARD_IMAGE
    debian: list[DebianName] = []
    pip: list[Requirement] = []


def _form(value: Any) -> str:
    return "packages" if isinstance(value, dict | ImageSettings) else "name"


Image = Annotated[
    Annotated[str, Tag("name")] | Annotated[ImageSettings, Tag("packages")], Discriminator(_form)
]


class BoxSettings(Settings):
    """The box: its image, what it may use, and the files that it starts with."""

    image: Image = STANDARD_IMAGE
    memory: Size = 1 << 30
    cpus: Annotated[float, Field(gt=0.0)] = 1.0
    pids: Annotated[int, Field(ge=16)] = 256
    disk: Size = 1 << 30
    think_seconds: Seconds = 3600.0
    transcript: Size = 1 << 20
    payload: Annotated[Size, Field(le=64 << 20)] = 4 << 20
    runtime: str | None = None
    alone_seconds: Seconds = 3600.0
    snapshot_seconds: Patience = 3600.0
    waive: list[Promise] = []
    files: list[FileSettings] = []


class CommandAuditorSettings(Settings):
    """An auditor that is a program on the host; see `monastery.auditor.program`."""

    command: Argv
    name: Name = "program"
    timeout_seconds: Seconds = 600.0


class PersonAuditorSettings(Settings):
    """An auditor who is a person at the desk (``monastery audit``)."""

    person: Name
    timeout_seconds: Seconds = 86400.0

    @property
    def name(self) -> str:
        """The person's name."""
        return self.person


class PanelAuditorSettings(Settings):
    """An auditor that is several people, whoever comes to the desk first.

    Attributes:
        panel: Its name.
        votes: How many people are asked.
        apart: From which difference of scores on an adjudicator decides.
        compares: How their scores of several alternatives become one for each: their ``means``, or
            Bradley-Terry's scores of the ``ranks`` that each gave them.
    """

    panel: Name
    votes: Annotated[int, Field(ge=1, le=20)] = 2
    apart: Annotated[float, Field(ge=0.0, le=1.0)] = 0.4
    compares: Literal["means", "ranks"] = "means"
    timeout_seconds: Seconds = 86400.0

    @property
    def name(self) -> str:
        """The panel's name."""
        return self.panel


AuditorSettings = CommandAuditorSettings | PersonAuditorSettings | PanelAuditorSettings


class PlantedSettings(Settings):
    """Proposals of which it is known whether they are good, for people at the desk.

    Attributes:
        folder: Where they lie, one file each, relative to the project's folder.
        rate: How often a person is handed one before a step; 0 plants none.
        floor: Whose recall is surely below it, their votes go to an adjudicator; 0 holds none.
    """

    folder: Annotated[str, Field(min_length=1)]
    rate: Annotated[float, Field(ge=0.0, le=MOST_RATE)] = 0.08
    floor: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0


class AuditSettings(Settings):
    """How steps are audited.

    Attributes:
        rate: How often, for the kinds that do not say.
        score: How the auditors' scores become one; ``median`` lets no single auditor move it far.
        decision: How their decisions become one: the most ``careful`` of them, or that of the
            ``majority``, more than half; where none has that, the most careful.
        mode: ``blocking`` holds the box until a drawn audit is answered; ``deferred`` lets the gate
            decide alone and takes the answer later.
        feedback: Whether the agent is told the auditors' notes (``full``), those lines of them that
            are among the `canned` ones (``canned``), or only the verdict.
        canned: What may be told so. A written reason helps an agent that means harm to try again.
        escalate_seconds: How long an escalated step waits for a person before it expires.
        park_after_seconds: How long the run waits for people alone before its box is closed.
        second_vote: Whether people at the desk vote again, after the rationale.
        runner_audits: Whether who runs a run may judge it.
        alternatives: How many proposals of the same moment an audit compares, the live one among
            them; 1 compares none. The others are rolled out from a copy of the work folder.
        planted: Known proposals that people are handed among the agent's, if any.
        dig: When people at the desk may open a shell in a copy of the frozen box: ``never``, after
            their first vote (``second``), or ``always``; its files may say what blinding hides.
        hold: Whether every step, audited or not, is held until the next multiple of `hold_seconds`
            after its receipt (``uniform``), so that the agent's clock does not tell them apart.
    """

    rate: Rate = 1.0
    score: Literal["mean", "median"] = "mean"
    decision: Literal["careful", "majority"] = "careful"
    mode: Literal["blocking", "deferred"] = "blocking"
    auditors: list[AuditorSettings] = []
    feedback: Literal["none", "canned", "full"] = "none"
    canned: Annotated[list[Sentence], Field(max_length=50)] = []
    escalate_seconds: Seconds = 86400.0
    park_after_seconds: Patience = 3600.0
    second_vote: bool = True
    runner_audits: bool = True
    alternatives: Annotated[int, Field(ge=1, le=MOST_ALTERNATIVES)] = 1
    planted: PlantedSettings | None = None
    dig: Annotated[Digging, BeforeValidator(_digging, json_schema_input_type=Digging | bool)] = (
        "second"
    )
    hold: Literal["none", "uniform"] = "none"
    hold_seconds: Seconds = 60.0

    @field_validator("alternatives")
    @classmethod
    def _compared_while_frozen(cls, value: int, info: ValidationInfo) -> int:
        if value > 1 and info.data.get("mode") == "deferred":
            raise ValueError("a deferred audit compares nothing; write 1, or mode: blocking")
        return value


class PriceSettings(Settings):
    """What a model costs, for a million tokens that go in, and for a million that come out."""

    tokens_in: Annotated[float, Field(ge=0.0)]
    tokens_out: Annotated[float, Field(ge=0.0)]


class BudgetSettings(Settings):
    """What the model calls of a run may use up together; `money` is in the unit of the prices."""

    calls: Annotated[int, Field(gt=0)] | None = None
    tokens: Annotated[int, Field(gt=0)] | None = None
    money: Annotated[float, Field(gt=0.0)] | None = None


class PolicySettings(Settings):
    """What every policy has.

    Attributes:
        models: The models that the agent may call; the names are the provider's.
        inline_data: Whether images and documents may be in a request.
        version: What the operator calls this state of the policy, for the record.
    """

    models: list[Annotated[str, Field(min_length=1)]] = []
    inline_data: bool = False
    version: str | None = None
    budget: BudgetSettings = BudgetSettings()
    prices: Annotated[dict[str, PriceSettings], Field(validate_default=True)] = {}

    @property
    def apis(self) -> tuple[str, ...] | None:
        """Return the APIs that it speaks; None when it answers anything at all."""
        return None

    @field_validator("prices")
    @classmethod
    def _priced(
        cls, prices: dict[str, PriceSettings], info: ValidationInfo
    ) -> dict[str, PriceSettings]:
        models, budget = info.data.get("models"), info.data.get("budget")
        counted = budget is not None and budget.money is not None
        missing = sorted(set(models or ()) - set(prices))
        if counted and (missing or not models):
            names = ", ".join(missing) or "none is named under `models`"
            raise ValueError(f"a budget of money needs the price of each model; missing: {names}")
        return prices


class ScriptedPolicySettings(PolicySettings):
    """A policy that answers model calls from a JSON-lines file, in order."""

    scripted: str


class ReplayedPolicySettings(PolicySettings):
    """A policy that answers as an earlier run of the same home was answered."""

    replayed: str


class LocalPolicySettings(PolicySettings):
    """A model of transformers that lies in a folder.

    Attributes:
        device: Where it is held; ``auto`` takes a CUDA device if there is one.
        dtype: The numbers that it is held in; ``auto`` takes those of the files.
        context_tokens: How much it is given at most, answer included; None takes what it can.
        max_tokens: How long an answer may be where the request does not say.
        temperature: What it is where the request does not say; None takes the model's own.
    """

    local: Annotated[str, Field(min_length=1)]
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    context_tokens: Annotated[int, Field(ge=2)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] = 4096
    temperature: Annotated[float, Field(ge=0.0, le=2.0)] | None = None

    @property
    def apis(self) -> tuple[str, ...]:
        """Return the APIs that it speaks."""
        return "openai.chat", "anthropic.messages", "anthropic.count_tokens"


class ApiPolicySettings(PolicySettings):
    """What every policy has that asks a model elsewhere.

    Attributes:
        key: The environment variable that holds the key; it is read when the run starts.
        timeout_seconds: How long one try may take.
        tries: How often a call is made in all while the provider is busy or broken.
        at_once: How many calls may be under way.
        per_minute: How many calls may be begun in a minute.
        tokens_per_minute: How many tokens, in and out, may be used in a minute before calls wait.
    """

    models: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    key: str | None = None
    timeout_seconds: Seconds = 600.0
    tries: Annotated[int, Field(ge=1, le=20)] = 5
    at_once: Annotated[int, Field(ge=1)] = 128
    per_minute: Annotated[int, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[int, Field(ge=1)] | None = None

    @field_validator("key")
    @classmethod
    def _named(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Z][A-Z0-9_]*", value):
            # Not shown: it may be the key itself.
            raise ValueError("is no name of an environment variable; write one, say OPENAI_API_KEY")
        return value


Url = Annotated[str, Field(pattern=r"^https?://[^\s@?#]+$")]


class OpenAIPolicySettings(ApiPolicySettings):
    """A server with OpenAI's API; `openai` is its address, as far as ``/v1``."""

    openai: Url

    @property
    def apis(self) -> tuple[str, ...]:
        """Return the APIs that it speaks."""
        return "openai.chat", "openai.responses"


class AnthropicPolicySettings(ApiPolicySettings):
    """A server with Anthropic's API; `anthropic` is its address, without ``/v1``."""

    anthropic: Url

    @property
    def apis(self) -> tuple[str, ...]:
        """Return the APIs that it speaks."""
        return "anthropic.messages", "anthropic.count_tokens"


AnyPolicySettings = (
    ScriptedPolicySettings
    | ReplayedPolicySettings
    | OpenAIPolicySettings
    | AnthropicPolicySettings
    | LocalPolicySettings
)


class CachedWebSettings(Settings):
    """A copy of the web for the agent to search and read; a path may stand for all of it.

    Attributes:
        path: A ZIM file, or a folder of files.
        fetches: How many searches and pages a run may ask for.
        size: How much it may be given in all.
    """

    path: Annotated[str, Field(min_length=1)]
    fetches: Annotated[int, Field(gt=0)] = 10_000
    size: Size = 256 << 20


def _only_a_path(value: Any) -> Any:
    """Return the settings that a bare path means."""
    return {"path": value} if isinstance(value, str) else value


CachedWeb = Annotated[
    CachedWebSettings, BeforeValidator(_only_a_path, json_schema_input_type=CachedWebSettings | str)
]


class LimitSettings(Settings):
    """When a run ends by itself: after so many steps."""

    steps: Annotated[int, Field(gt=0)] = 10_000


class Project(Settings):
    """A long task: the goal, the agent, the step kinds it may propose, how steps are audited."""

    name: Name
    goal: Annotated[str, Field(min_length=1)]
    agent: AgentSettings
    box: BoxSettings = BoxSettings()
    steps: Annotated[dict[str, StepSettings], Field(min_length=1)]
    audit: AuditSettings = AuditSettings()
    policy: AnyPolicySettings | None = None
    cached_web: CachedWeb | None = None
    limits: LimitSettings = LimitSettings()

    def probability(self, kind: str) -> float:
        """Return how often a step of this kind is audited."""
        rate = self.steps[kind].audit
        return self.audit.rate if rate is None else rate
