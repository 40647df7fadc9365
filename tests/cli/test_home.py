"""Where runs live, and which one is meant."""

from pathlib import Path

import pytest

from monastery.runtime.cli.home import find, find_run
from monastery.runtime.errors import BadInput
from monastery.runtime.owner import this_process
from monastery.runtime.records import RunId
from monastery.runtime.store import Store


def test_the_home_is_where_it_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The option wins over the variable, the variable over the project's folder."""
    monkeypatch.setenv("MONASTERY_HOME", str(tmp_path / "variable"))
    assert find(tmp_path / "option", beside=tmp_path) == tmp_path / "option"
    assert find(beside=tmp_path) == tmp_path / "variable"
    monkeypatch.delenv("MONASTERY_HOME")
    assert find(beside=tmp_path) == tmp_path / ".monastery"


def test_without_a_project_the_nearest_home_upwards_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands work from anywhere in a project's folder."""
    monkeypatch.delenv("MONASTERY_HOME", raising=False)
    (tmp_path / ".monastery").mkdir()
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert find() == tmp_path / ".monastery"


def test_a_run_is_found_by_name_beginning_or_last(tmp_path: Path) -> None:
    """A prefix must be of one run only; one that is a whole name is that run."""
    with Store.open(tmp_path) as store:
        for name in ("one", "one-more", "two"):
            store.create_run(
                RunId(name),
                project="p",
                project_path=tmp_path / "p.yaml",
                owner=this_process(),
                seed=bytes(32),
            )
        assert find_run(store, "one").run == "one"
        assert find_run(store, "one-").run == "one-more"
        assert find_run(store, "last").run == "two"
        for wrong in ("on", "", "three"):
            with pytest.raises(BadInput):
                find_run(store, wrong)
