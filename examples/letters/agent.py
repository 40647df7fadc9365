"""Reply to letters: an agent of one's own, with the official openai client."""

import json
import sys
from pathlib import Path
from typing import Any

from monastery_box import history, propose  # type: ignore[import-not-found]  # the box has it
from openai import OpenAI  # type: ignore[import-not-found]  # from the image, see project.yaml

TASK = "Reply to this letter in two sentences. Promise nothing."
TRIES = 3


def main() -> int:
    """Reply to what has no reply yet; return how many letters are left without one."""
    replied = {name for step in history() if step["status"] == "done" for name in files_of(step)}
    letters = sorted(Path("letters").glob("*.txt"))
    return sum(not reply(one) for one in letters if one.name not in replied)


def reply(letter: Path) -> bool:
    """Propose replies to a letter until one is delivered; what was wrong goes into the next."""
    client = OpenAI()  # finds the model by the variables that it always looks at
    model = client.models.list().data[0].id
    messages: list[Any] = [
        {"role": "system", "content": TASK},
        {"role": "user", "content": letter.read_text()},
    ]
    for _ in range(TRIES):
        said = client.chat.completions.create(model=model, messages=messages)
        text = said.choices[0].message.content
        payload = json.dumps({"files": {letter.name: {"text": text}}})
        evidence = {letter.name: letter.read_bytes()}
        outcome = propose("file", payload, f"A reply to {letter.name}.", evidence)
        print(f"{letter.name}: {outcome['status']} {outcome['feedback'] or ''}", flush=True)
        if outcome["status"] == "done":
            return True
        messages.append({"role": "assistant", "content": text})
        messages.append({"role": "user", "content": f"Not sent: {outcome['feedback']}. Again."})
    return False


def files_of(step: dict[str, Any]) -> list[str]:
    """Return the files of a past step; a long payload is not in the history."""
    return list(json.loads(step["payload"])["files"]) if step["payload"] else []


if __name__ == "__main__":
    sys.exit(main())
