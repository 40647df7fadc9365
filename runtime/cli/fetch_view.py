"""What a segment fetched from the cached web, for a reader."""

import json
from collections.abc import Callable, Iterator, Sequence

from monastery.runtime.cli.output import seconds, size
from monastery.runtime.cli.telling import first_line
from monastery.runtime.display import visible, visible_line
from monastery.runtime.events import BlobRef, WebFetched

_MOST = 5


def details(
    fetches: Sequence[WebFetched], blob: Callable[[BlobRef], bytes], *, content: bool
) -> Iterator[tuple[str, str]]:
    """Yield a line for each fetch; without contents, for the first few."""
    shown = fetches if content else fetches[:_MOST]
    for one in shown:
        refused = f", refused: {first_line(one.refused)}" if one.refused else ""
        line = f"{asked(blob(one.request))}, {size(one.response.size_bytes)}"
        line = visible_line(f"{line} in {seconds(one.seconds)}{refused}")
        given = f"\n{visible(blob(one.response))}" if content else ""
        yield "fetched", line + given
    if len(shown) < len(fetches):
        given_bytes = sum(one.response.size_bytes for one in fetches)
        yield "", f"and {len(fetches) - len(shown)} more, {size(given_bytes)} in all"


def asked(request: bytes) -> str:
    """Return what a fetch asked for in a few words; not yet made safe."""
    try:
        body = json.loads(request)
    except ValueError:
        return request.decode("utf-8", "replace")  # erased
    for verb in ("search", "get"):
        if verb in body:
            raw = " as it is" if body.get("raw") else ""
            return f"{verb} {body[verb]}{raw}"
    return "nothing that there is"
