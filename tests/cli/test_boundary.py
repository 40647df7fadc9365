"""`monastery boundary`: somebody's own trainer, from a file of theirs."""

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

PAGE = Path(__file__).parents[2] / "docs" / "learning.md"


def _page() -> tuple[str, str]:
    """Return the page's trainer, and what it says that the command prints."""
    text = PAGE.read_text()
    (trainer,) = re.findall(r"```python\n(import torch\n.*?)```", text, re.DOTALL)
    (printed,) = re.findall(r"\$ monastery boundary my_training:\w+\n(.*?)```", text, re.DOTALL)
    return trainer, printed


def test_the_pages_trainer_passes_and_prints_what_the_page_says(cli: Cli) -> None:
    """What a reader copies from the page does what the page shows."""
    trainer, printed = _page()
    (cli.folder / "my_training.py").write_text(trainer)
    ran = cli("boundary", "my_training:make_subject")
    assert (ran.code, ran.err) == (0, "")
    assert [line.split() for line in ran.out.splitlines()] == [
        line.split() for line in printed.splitlines()
    ]


def test_the_pages_trainer_without_its_detach_fails(cli: Cli) -> None:
    """The page says which line then fails; scripts see it in the code and in the JSON."""
    trainer, _ = _page()
    assert ".detach()" in trainer
    (cli.folder / "my_training.py").write_text(trainer.replace(".detach()", ""))
    ran = cli("boundary", "my_training:make_subject", "--json")
    assert ran.code == 1
    told = json.loads(ran.out)
    assert told["subject"] == "my_training:make_subject"
    failed = [one["name"] for one in told["findings"] if one["verdict"] is False]
    assert failed == ["past"]


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        ("my_training", "write MODULE:FACTORY"),
        ("nowhere:make", "there is no module 'nowhere' here"),
        ("my_training:nothing", "'my_training' has no function 'nothing'"),
        ("broken:make", "broken broke: ZeroDivisionError: division by zero"),
        ("needy:make", "'needy' imports 'no_such_library', which is not installed"),
    ],
)
def test_what_cannot_be_checked_is_one_line(cli: Cli, factory: str, said: str) -> None:
    """Bad input says what is wrong, and exits with 2."""
    (cli.folder / "my_training.py").write_text("number = 1\n")
    (cli.folder / "broken.py").write_text("1 / 0\n")
    (cli.folder / "needy.py").write_text("import no_such_library\n")
    ran = cli("boundary", factory)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1
