"""The `web` command of the box, where the project has a cached web.

The guest writes it to /run/monastery/bin/web with the interpreter's path above it.
"""

# pathlib would make every call later by the time of its import:
# ruff: noqa: PTH118, PTH120

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from typing import Any

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
sys.dont_write_bytecode = True

from monastery_box import (  # type: ignore[import-not-found]  # noqa: E402 - found beside this file only
    Refused,
    web_get,
    web_search,
)

EXAMPLE = """example:
  web search tide tables --limit 5
  web get wiki/Tide
  web get --raw data/heights.csv > heights.csv

A copy of the web as it was; nothing here reaches the network. Exit code: 0 found, 1 nothing there,
2 not taken.
"""


def main() -> int:
    """Read the arguments, ask, and print what was found."""
    parser = argparse.ArgumentParser(
        prog="web",
        description="Search and read the cached web.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    search = verbs.add_parser("search", help="find pages that hold these words")
    search.add_argument("words", nargs="+")
    search.add_argument("--limit", type=int, default=10, help="so many results (10, at most 50)")
    get = verbs.add_parser("get", help="print a page as text")
    get.add_argument("url", help="as a search gives it, or as the web has it")
    get.add_argument("--raw", action="store_true", help="as it is, not as text")
    get.add_argument("--links", action="store_true", help="write links, as [words](url)")
    get.add_argument("--offset", type=int, default=0, help="begin there (characters; raw: bytes)")
    get.add_argument("--limit", type=int, help="so much at most (characters; raw: bytes)")
    for verb in (search, get):
        verb.add_argument("--json", action="store_true", help="print the answer as JSON")
    asked = parser.parse_args()
    try:
        if asked.verb == "search":
            return found(web_search(" ".join(asked.words), asked.limit), asked)
        return page(asked)
    except (OSError, Refused) as error:
        print(f"web: {error}", file=sys.stderr)
        return 2


def found(answer: dict[str, Any], asked: argparse.Namespace) -> int:
    """Print what a search found."""
    if asked.json:
        print(json.dumps(answer))
    elif "error" not in answer:
        for one in answer["results"]:
            print(f"{one['url']}\n  {one['title']}\n  {one['excerpt']}\n")
        more = "" if answer["complete"] else "; not all pages are searched"
        print(f"{answer['matches']} found in {answer['how']}{more}", file=sys.stderr)
    return code(answer) or (0 if answer["results"] else 1)


def page(asked: argparse.Namespace) -> int:
    """Print a page; raw and without a limit, to its end."""
    offset = asked.offset
    while True:
        answer = web_get(
            asked.url, raw=asked.raw, links=asked.links, offset=offset, limit=asked.limit
        )
        if asked.json:
            print(json.dumps(answer))
            return code(answer)
        if "error" in answer:
            return code(answer)
        if not asked.raw:
            print(answer["text"])
            if answer["next"] is not None:
                more = f"{answer['next']} of {answer['size']} characters; --offset {answer['next']}"
                print(f"web: this is up to {more} goes on", file=sys.stderr)
            return 0
        sys.stdout.buffer.write(base64.b64decode(answer["base64"]))
        sys.stdout.buffer.flush()
        offset = answer["next"]
        if offset is None or asked.limit is not None:
            return 0


def code(answer: dict[str, Any]) -> int:
    """Return the exit code of an answer, and say what was wrong."""
    if "error" not in answer:
        return 0
    print(f"web: {answer['error']['message']}", file=sys.stderr)
    return 1 if answer["error"]["type"] in ("not_found", "not_text") else 2


sys.exit(main())
