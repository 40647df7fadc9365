"""The page on learning: what it shows can be run as it stands."""

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "learning.md"


def test_what_the_page_shows_runs() -> None:
    """Its moments, and the learner that learns them; commands' tests run the rest."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    elsewhere = ("make_subject", "compose.episodes")  # test_boundary.py, test_train.py
    shown = [block for block in blocks if not any(name in block for name in elsewhere)]
    assert len(shown) == len(blocks) - len(elsewhere) == 2
    names: dict[str, Any] = {}
    for block in shown:
        exec(block, names)
    assert names["audited"].earned.reward == 8.0
    assert names["written"].actions.tolist() == [5, 6, 1, -1]
    assert names["learner"].gather() == 0
