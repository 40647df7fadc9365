"""Look at a service, restart it if it is down, and tell the person on duty: three steps outside."""

import json
import sys
from typing import Any

from monastery_box import history, propose  # type: ignore[import-not-found]  # the box has it

STATUS = "http://status.example.org/health"


def main() -> int:
    """Take the steps that are left; return 0 when the person was told."""
    past: dict[str, dict[str, Any]] = {step["kind"]: step for step in history()}

    def take(kind: str, payload: dict[str, Any], why: str) -> dict[str, Any]:
        if kind not in past:
            past[kind] = propose(kind, json.dumps(payload), why)
            print(f"{kind}: {past[kind]['status']}", flush=True)
        return past[kind]

    seen = take("http", {"method": "GET", "url": STATUS}, "Is the service up?")
    text = f"The service answered {seen['content'].get('status', 'nothing')}."
    if seen["status"] != "done":
        command = {"host": "web", "command": "sh restart.sh site"}
        restarted = take("ssh", command, "It is down; a restart is in the handbook.")
        text += (
            f" The restart: {restarted['status']}. It said: {restarted['content'].get('stdout')}"
        )
    mail = {"to": ["duty@example.org"], "subject": "The service", "text": text}
    return 0 if take("email", mail, "The person on duty wants to know.")["status"] == "done" else 1


if __name__ == "__main__":
    sys.exit(main())
