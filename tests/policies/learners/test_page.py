"""The page on learning: what it shows can be run as it stands."""

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[3] / "docs" / "learning.md"


def test_what_the_page_shows_runs() -> None:
    """Its moments, and the learner that learns them; its trainer is run by the command's tests."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    shown = [block for block in blocks if not block.startswith("import torch")]
    assert len(shown) == len(blocks) - 1 == 2
    names: dict[str, Any] = {}
    for block in shown:
        exec(block, names)
    assert names["audited"].earned.reward == 8.0
    assert names["written"].actions.tolist() == [5, 6, 1, -1]
    assert names["learner"].gather() == 0
