"""Where a server finds known proposals: in the folder that a run's project names."""

from collections.abc import Sequence

from monastery.runtime.cli import output
from monastery.runtime.cli.rendering import NoDesk, executors
from monastery.runtime.errors import MonasteryError
from monastery.runtime.events import RunStarted
from monastery.runtime.journal import records
from monastery.runtime.planted import Known
from monastery.runtime.planted_files import read_folder
from monastery.runtime.project_file import Loaded, parse
from monastery.runtime.records import RunId
from monastery.runtime.store import Store


class Shelf:
    """The known proposals of a home's runs, read once for each run.

    Args:
        store: The home's.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[RunId, list[Known]] = {}

    def known(self, run: RunId, kind: str) -> Sequence[Known]:
        """Return the known proposals of a kind that the project of a run has, by name.

        What cannot be used is told on stderr, and not planted.
        """
        if run not in self._known:
            self._known[run] = self._read(run)
        return [one for one in self._known[run] if one.kind == kind]

    def _read(self, run: RunId) -> list[Known]:
        try:
            loaded = project_of(self._store, run)
            settings = loaded.project.audit.planted
            if settings is None:
                return []
            found, faults = read_folder(
                loaded.folder / settings.folder, executors(loaded, NoDesk())
            )
        except MonasteryError as exc:
            found, faults = [], [str(exc)]
        for fault in faults:
            output.note(f"not planted: {fault}")
        return found


def project_of(store: Store, run: RunId) -> Loaded:
    """Return the project of a run as it was recorded at its start.

    Raises:
        MonasteryError: It cannot be read any more.
    """
    row = store.run(run)
    for record in records(store, run):
        if isinstance(record.event, RunStarted):
            source = store.blob(record.event.project_file.ref)
            return parse(source, row.project_path, on_disk=False)
    raise MonasteryError(f"run {run!r} has no beginning; see monastery verify")
