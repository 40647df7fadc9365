"""A local model as a policy that is trained: it thinks here, and learns between two calls."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import trio

from monastery.policies.learners.online import Learned, Online
from monastery.policies.local.conversations import Asked
from monastery.policies.local.policy import LocalPolicy
from monastery.policies.local.worker import Call, Load, Reply, Thinker
from monastery.runtime.credit import TrainingItem
from monastery.runtime.errors import PolicyFailed, Unfit
from monastery.runtime.project import LocalPolicySettings

Items = Callable[[], Iterator[TrainingItem]]
"""Returns the segments that are over and were not learned yet."""


def load(settings: LocalPolicySettings, folder: Path) -> Thinker:
    """Load a model to train: in full precision, unless the project says otherwise.

    Raises:
        Unfit: A library is missing, or the model cannot be loaded.
    """
    dtype = "float32" if settings.dtype == "auto" else settings.dtype
    try:
        return Thinker(Load(str(folder.resolve()), settings.device, dtype, settings.context_tokens))
    except ImportError as exc:
        raise Unfit(f"{exc.name} is not installed; pip install 'monastery[local,train]'") from exc
    except Exception as exc:
        why = f"{type(exc).__name__}: {exc}".splitlines()[0]
        raise Unfit(f"the model in {str(folder)!r} cannot be loaded: {why}") from exc


class TrainedPolicy(LocalPolicy):
    """Thinks, and before each answer learns what the journal has of it by then.

    Whatever a request says of temperature, top_p, top_k and seed, tokens are drawn from the model
    itself: drawn otherwise, they would not be of the policy that is trained.

    Args:
        settings: What a request that does not say gets.
        folder: The model's, for messages.
        thinker: The model.
        online: Changes it.
        items: Tells what is to be learned.
        learned: Told what was.
        episode: The number of this run; of it and the training's seed the draws are made.
        calls: How many calls of this run were answered before.
    """

    def __init__(
        self,
        settings: LocalPolicySettings,
        folder: Path,
        thinker: Thinker,
        online: Online,
        items: Items,
        learned: Callable[[Learned], None],
        *,
        episode: int,
        calls: int,
    ) -> None:
        super().__init__(settings, folder)
        self._thinker, self._online, self._items, self._learned = thinker, online, items, learned
        self._episode, self._calls = episode, calls

    @property
    def version(self) -> str:
        """How many updates it has had, after what the project calls it."""
        name = self._settings.version
        return f"{'' if name is None else name}+{self._online.updates}"

    async def learn(self) -> None:
        """Learn what is over."""
        for item in self._items():
            self._learned(await trio.to_thread.run_sync(self._online.learn, item))

    async def _ask(self, want: Asked) -> Reply:
        await self.learn()
        sampling = want.sampling
        if sampling is not None:
            if sampling.samples != 1:
                raise PolicyFailed("a policy that is trained gives one answer to a call; leave n")
            sampling = msgspec.structs.replace(
                sampling, temperature=1.0, top_p=1.0, top_k=0, seed=self._seed()
            )
        self._calls += 1
        call = Call(self._calls, want.messages, want.tools, sampling)
        return await trio.to_thread.run_sync(self._think, call)

    def _think(self, call: Call) -> Reply:
        def is_wanted() -> bool:
            trio.from_thread.check_cancelled()
            return True

        try:
            return self._thinker.think(call, is_wanted)
        except Exception as exc:  # noqa: BLE001 - whatever libraries and chat templates say
            why = f"{type(exc).__name__}: {exc}".splitlines()[0]
            return Reply(call.number, failed=why)

    def _seed(self) -> int:
        named = f"{self._online.settings.seed} {self._episode} {self._calls}"
        return int.from_bytes(hashlib.sha256(named.encode()).digest()[:6], "big")
