"""A new home: whoever comes first makes it, and the others wait."""

import threading
from pathlib import Path

from monastery.runtime.owner import this_process
from monastery.runtime.records import RunId
from monastery.runtime.store import Store


def test_a_new_home_can_be_opened_by_many_at_once(tmp_path: Path) -> None:
    """Of eight who open a home that is not there yet, and run in it, all get it, thirty times."""
    refused: list[str] = []

    def open_it(home: Path, together: threading.Barrier) -> None:
        together.wait()
        try:
            with Store.open(home) as store:
                name = RunId(f"run-{threading.get_ident()}")
                store.create_run(
                    name, project="p", project_path=home, owner=this_process(), seed=bytes(32)
                )
        except Exception as exc:  # noqa: BLE001 - a thread's error would go unseen
            refused.append(str(exc))

    for number in range(30):
        together = threading.Barrier(8)
        home = tmp_path / str(number)
        threads = [threading.Thread(target=open_it, args=(home, together)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert refused == []
