"""A new home: whoever comes first makes it, and the others wait."""

import threading
from pathlib import Path

from monastery.runtime.store import Store


def test_a_new_home_can_be_opened_by_many_at_once(tmp_path: Path) -> None:
    """Of eight who open a home that is not there yet, all get it, thirty times over."""
    refused: list[str] = []

    def open_it(home: Path, together: threading.Barrier) -> None:
        together.wait()
        try:
            with Store.open(home) as store:
                assert store.runs() == []
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
