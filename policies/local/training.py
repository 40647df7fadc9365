"""A training of a local model: begun or gone on with, and its checkpoint.

How its episodes are lived is no matter here: whoever lives them asks for a policy, hands over what
is to be learned, and says when an episode is over.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from monastery.policies.learners import online as learning
from monastery.policies.learners.online import Learned, Online, Saved, Settings
from monastery.policies.local.trained import TrainedPolicy, load
from monastery.policies.local.worker import Thinker
from monastery.runtime.credit import TrainingItem
from monastery.runtime.errors import BadInput
from monastery.runtime.ports import Policy
from monastery.runtime.project import LocalPolicySettings


class LocalTraining:
    """A local model that is trained, and where it lies. Made by `begin`.

    Attributes:
        folder: Of the checkpoint.
    """

    def __init__(
        self,
        policy: LocalPolicySettings,
        folder: Path,
        thinker: Thinker,
        online: Online,
        saved: Saved,
    ) -> None:
        self.folder = folder
        self._policy, self._thinker, self._online, self._saved = policy, thinker, online, saved

    @classmethod
    def begin(
        cls,
        policy: LocalPolicySettings,
        model: Path,
        folder: Path,
        asked: Mapping[str, Any],
        *,
        project: str,
        resume: bool,
    ) -> "LocalTraining":
        """Load a model: the project's, or the one of a checkpoint.

        Args:
            policy: What the project says of it.
            model: The folder of the project's model; it is only read.
            folder: For the checkpoint.
            asked: Some of `seed`, `learning_rate`, `baseline` and `clip` of the settings.
            project: The SHA-256 of the project file.
            resume: Whether the training of the folder goes on; else there must be none.

        Raises:
            BadInput: What is asked for does not fit what lies in the folder.
            Unfit: A library is missing, or the model cannot be loaded.
        """
        saved = learning.saved(folder)
        if saved is None and resume:
            raise BadInput(f"--resume: there is no training in {str(folder)!r}; leave it out")
        if saved is not None and not resume:
            raise BadInput(
                f"{str(folder)!r} holds a training of {saved.episodes} episodes;"
                " go on with it by --resume, or name another folder"
            )
        settings = Settings(project, **asked) if saved is None else saved.settings
        _unchanged(settings, project, asked)
        learning.set_seeds(settings.seed)
        thinker = load(policy, model if saved is None else saved.model)
        online = Online(thinker.model, settings)
        if saved is None:
            folder.mkdir(parents=True, exist_ok=True)
            saved = learning.save(folder, online, thinker.tokenizer, 0)
        else:
            learning.take_up(online, saved)
        return cls(policy, folder, thinker, online, saved)

    @property
    def episodes(self) -> int:
        """How many are over, learned and saved."""
        return self._saved.episodes

    @property
    def updates(self) -> int:
        """How many the model has had."""
        return self._online.updates

    @property
    def model(self) -> Path:
        """The folder of the model that was saved last, as `policy.local` reads it."""
        return self._saved.model

    def policy(
        self,
        episode: int,
        calls: int,
        items: Callable[[], Iterator[TrainingItem]],
        learned: Callable[[Learned], None],
    ) -> Policy:
        """Return the model as the policy of one episode, which learns before each answer.

        Args:
            episode: Its number.
            calls: How many of its model calls were answered before.
            items: Tells what is to be learned.
            learned: Told what was.
        """
        return TrainedPolicy(
            self._policy,
            self._saved.model,
            self._thinker,
            self._online,
            items,
            learned,
            episode=episode,
            calls=calls,
        )

    def learn(self, item: TrainingItem) -> Learned:
        """Learn one segment.

        Raises:
            BadInput: Its tokens were not recorded.
        """
        return self._online.learn(item)

    def save(self, episodes: int) -> None:
        """Write a checkpoint: so many episodes are over and learned."""
        self._saved = learning.save(self.folder, self._online, self._thinker.tokenizer, episodes)


def _unchanged(settings: Settings, project: str, asked: Mapping[str, Any]) -> None:
    """Refuse to go on as if it were another training."""
    if settings.project != project:
        raise BadInput("the project file is not the one that the training began with; put it back")
    for name, value in asked.items():
        began = getattr(settings, name)
        if began != value:
            option = f"--{name.replace('_', '-')}"
            raise BadInput(f"{option} {value:g}: the training began with {began:g}; leave it out")
