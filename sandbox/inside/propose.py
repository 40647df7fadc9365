"""The `propose` command of the box.

The guest writes it to /run/monastery/bin/propose with the interpreter's path above it.
"""

# pathlib would make every call later by the time of its import:
# ruff: noqa: PTH118, PTH120

from __future__ import annotations

import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True

from monastery_box import (  # type: ignore[import-not-found]  # noqa: E402 - found beside this file only
    Refused,
    propose,
    read,
    wrapped,
)

EXAMPLE = """example:
  propose email --payload mail.json --rationale "The report is finished and checked." \\
          --evidence report.pdf
  propose file report.pdf data/table.csv --rationale "The two files that were asked for."

Blocks until the step is over, then prints one JSON object:
  {"status": "done", "kind": "email", "step": 3, "content": {}, "feedback": null}
status is done, rejected, expired, failed or unknown. Exit code: 0 done, 1 not done, 2 not taken.
"""


def main() -> int:
    """Read the arguments and the files, ask, and print the outcome."""
    parser = argparse.ArgumentParser(
        prog="propose",
        description="Propose a step in the outside world, and wait for what comes of it.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", help="one of the project's step kinds")
    parser.add_argument("paths", nargs="*", help="with `file`: the files to hand over")
    parser.add_argument("--payload", metavar="FILE", help="the exact bytes to use; - is stdin")
    parser.add_argument("--rationale", required=True, help="why this is a reasonable step")
    parser.add_argument(
        "--evidence", metavar="FILE", action="append", default=[], help="lets the auditor check it"
    )
    asked = parser.parse_args()
    if bool(asked.paths) == bool(asked.payload):
        parser.error("give either --payload FILE or, with `file`, the paths of the files")
    if asked.paths and asked.kind != "file":
        parser.error("only `propose file` takes paths; give --payload FILE")
    try:
        payload = wrapped(asked.paths) if asked.paths else content_of(asked.payload)
        evidence = {path: content_of(path) for path in asked.evidence}
        outcome = propose(asked.kind, payload, asked.rationale, evidence)
    except (OSError, Refused) as error:
        print(f"propose: {error}", file=sys.stderr)
        return 2
    print(json.dumps(outcome))
    return 0 if outcome.get("status") == "done" else 1


def content_of(path: str) -> bytes:
    """Return a file's bytes; - is stdin."""
    if path == "-":
        return sys.stdin.buffer.read()
    content: bytes = read(path)
    return content


sys.exit(main())
