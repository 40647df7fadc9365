"""The tree of everything that can break.

    MonasteryError
      BadInput             exit 2   what a person wrote is wrong: file, field, mend
        ProjectInvalid              a project file, all its faults at once
        RunHeld                     another runtime has the run
          LeaseLapsed               perhaps no longer: wait, look again, then take it over
      Unfit                exit 3   the environment cannot do what was asked, with the mend
        EngineUnavailable           no Docker engine answers, or it stopped answering
        ImageUnfit                  the image is missing, or has no python3
      BoxError             exit 1   the box broke; the run ends, the journal stays whole
        BoxDied                     the guest or the container is gone
        FreezeFailed                a freeze could not be confirmed
        GuestMisbehaved             a message from the box broke the rules
        LimitExceeded               the box used more than it was given
      StoreError           exit 1   the journal could not be written or read
        NotOwner                    another runtime owns the run now
        Erased                      a content was erased; its name and its place are left
      AuditFailed                   an auditor did not answer, or answered nonsense
        AuditExpired                nobody answered in time
      PolicyFailed                  a model did not answer; the agent is told, the run goes on
      WebFailed                     the cached web cannot be read; the agent is told
      BadPayload                    a proposal's payload is not one of its kind

Outcomes are values, not errors: a rejected step, an expired audit, a used-up budget.
"""


class MonasteryError(Exception):
    """Anything that broke; its text is one line that names what, where and the mend."""

    exit_code = 1


class BadInput(MonasteryError):
    """What a person wrote is wrong."""

    exit_code = 2


class ProjectInvalid(BadInput):
    """A project file with faults, all of them at once.

    Attributes:
        faults: One line each, naming file, line, field and the mend.
    """

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


class RunHeld(BadInput):
    """Another runtime has the run; the message says who, and until when at least."""


class LeaseLapsed(RunHeld):
    """The runtime that has the run has not renewed its lease, and perhaps never will again.

    Attributes:
        wait_seconds: How long to wait before it may be taken over.
        seen: What to show on the second try: the lease as it was seen before the wait.
    """

    def __init__(self, message: str, wait_seconds: float, seen: tuple[int, int]) -> None:
        self.wait_seconds = wait_seconds
        self.seen = seen
        super().__init__(message)


class Unfit(MonasteryError):
    """The environment cannot do what was asked; the message says the mend."""

    exit_code = 3


class EngineUnavailable(Unfit):
    """No Docker engine answers, or it stopped answering."""


class ImageUnfit(Unfit):
    """The box image is missing, or cannot carry a guest."""


class BoxError(MonasteryError):
    """The box broke. The run ends and its journal stays whole.

    Attributes:
        out_of_memory: Whether the kernel killed something in it for the memory it used.
    """

    def __init__(self, message: str, *, out_of_memory: bool = False) -> None:
        self.out_of_memory = out_of_memory
        super().__init__(message)


class BoxDied(BoxError):
    """The guest or its container is gone."""


class BoxLost(BoxDied):
    """The way to the box broke off; it may live on, and be joined again."""


class FreezeFailed(BoxError):
    """A freeze could not be confirmed. The box must be removed, never used further."""


class GuestMisbehaved(BoxError):
    """A message from the box broke the rules of the stream."""


class LimitExceeded(BoxError):
    """The box used more of something than the project gives it."""


class StoreError(MonasteryError):
    """The journal could not be written or read."""


class NotOwner(StoreError):
    """Another runtime owns the run now; this one must stop acting at once."""


class Erased(StoreError):
    """A content was erased on purpose; what the journal says of it still holds."""


class AuditFailed(MonasteryError):
    """An auditor did not answer, or answered nonsense: unmeasured, never zero."""


class AuditExpired(AuditFailed):
    """Nobody answered in time; expired is not rejected."""


class PolicyFailed(MonasteryError):
    """A model did not answer, or not as it should."""


class WebFailed(MonasteryError):
    """The cached web cannot be opened, or broke on what it was asked."""


class BadPayload(MonasteryError):
    """A proposal's payload is not one of its kind; the agent is told why."""
