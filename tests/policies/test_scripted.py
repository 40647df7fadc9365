"""The scripted policy: in order, by what is asked, and the same after a resume."""

import json
from pathlib import Path
from typing import Any

import pytest

from monastery.policies.scripted import ScriptedPolicy
from monastery.runtime.errors import BadInput

SCRIPT = [
    {"text": "first"},
    {"when": {"contains": "parser"}, "response": {"text": "about the parser"}},
    {"text": "third"},
]


def script(folder: Path, lines: list[Any]) -> Path:
    """Write a script file."""
    path = folder / "policy.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


async def told(policy: ScriptedPolicy, *requests: str) -> list[Any]:
    """Return what the policy says to each of the requests: its text, or its error's type."""
    answers = [await policy.call({"prompt": request}) for request in requests]
    return [one["text"] if "text" in one else one["error"]["type"] for one in answers]


async def test_in_order(tmp_path: Path) -> None:
    """Call n gets line n, and a conditional line in its place answers a call that fits."""
    policy = ScriptedPolicy(script(tmp_path, SCRIPT))
    assert await told(policy, "a", "the parser", "b") == ["first", "about the parser", "third"]


async def test_condition_wins_at_any_time(tmp_path: Path) -> None:
    """A call that contains a line's text gets that line, as often as it asks."""
    policy = ScriptedPolicy(script(tmp_path, SCRIPT))
    assert await told(policy, *["parser"] * 9) == ["about the parser"] * 9


async def test_first_of_two_conditions_wins(tmp_path: Path) -> None:
    """Of two lines that fit, the one higher up answers."""
    lines = [
        {"when": {"contains": text}, "response": {"text": text}} for text in ("pars", "parser")
    ]
    policy = ScriptedPolicy(script(tmp_path, lines))
    assert await told(policy, "parser", "parser") == ["pars", "pars"]


async def test_used_up_is_an_answer(tmp_path: Path) -> None:
    """A call that the file does not answer gets an error object, not an exception."""
    policy = ScriptedPolicy(script(tmp_path, SCRIPT))
    assert await told(policy, "a", "b", "c", "d", "e") == [
        "first",
        "policy_unmatched",
        "third",
        "policy_exhausted",
        "policy_exhausted",
    ]
    assert (await policy.call({}))["error"]["message"] == (
        "call 6 has no answer: policy.jsonl has 3 lines"
    )


async def test_resume_goes_on(tmp_path: Path) -> None:
    """A policy that starts at n gives what one that has answered n calls gives."""
    path = script(tmp_path, [*SCRIPT, *SCRIPT])
    requests = ["a", "parser", "c", "d", "parser", "f", "g"]
    whole = await told(ScriptedPolicy(path), *requests)
    for start in range(len(requests)):
        assert await told(ScriptedPolicy(path, start=start), *requests[start:]) == whole[start:]


async def test_matches_canonical_json(tmp_path: Path) -> None:
    """Conditions search the request with sorted keys, no spaces, and letters as they are."""
    lines = [{"when": {"contains": '{"a":"é","b":[1,2]}'}, "response": {"text": "yes"}}]
    policy = ScriptedPolicy(script(tmp_path, lines))
    assert await policy.call({"b": [1, 2], "a": "é"}) == {"text": "yes"}


async def test_blank_lines_count_for_nothing(tmp_path: Path) -> None:
    """Blank lines and a missing last newline change no numbers."""
    path = tmp_path / "policy.jsonl"
    path.write_text('\n{"text": "a"}\n  \n\n{"text": "b"}')
    assert await told(ScriptedPolicy(path), "x", "y") == ["a", "b"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ("7", "not a JSON object"),
        ('{"x": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "nested too deeply|not JSON"),
        ('{"when": {}, "response": {}}', "write"),
        ('{"when": {"contains": ""}, "response": {}}', "write"),
        ('{"when": {"contains": "x", "y": 1}, "response": {}}', "write"),
        ('{"when": {"contains": "x"}, "response": "x"}', "write"),
        ('{"when": {"contains": "x"}, "response": {}, "z": 1}', "write"),
        ('{"when": {"contains": "x"}}', "write"),
    ],
)
def test_bad_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    """A faulty line is refused at once, with file and line."""
    path = tmp_path / "policy.jsonl"
    path.write_text('{"text": "fine"}\n\n' + line + "\n")
    with pytest.raises(BadInput, match=reason) as refused:
        ScriptedPolicy(path)
    assert str(refused.value).startswith(f"{path}, line 3: ")
    assert "\n" not in str(refused.value)


def test_bad_file_is_named(tmp_path: Path) -> None:
    """A file that is missing, or is not text, is refused by name."""
    with pytest.raises(BadInput, match=r"nothing.jsonl.*No such file"):
        ScriptedPolicy(tmp_path / "nothing.jsonl")
    path = tmp_path / "policy.jsonl"
    path.write_bytes(b"\xff")
    with pytest.raises(BadInput, match=r"policy.jsonl.*not UTF-8"):
        ScriptedPolicy(path)
