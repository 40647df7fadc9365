"""Secrets taken out of a program's output before anyone sees it. Pure.

Only the exact values are found: a program that prints a secret in another form (encoded, cut in
pieces) gives it away. Do not hand a secret to a program that prints it.
"""

from collections.abc import Iterator, Mapping


def redact(output: bytes, secrets: Mapping[str, str], *, cut_off: bool) -> str:
    """Return output as text, with the names of secrets in the place of their values.

    Args:
        secrets: Values by name; an empty one hides nothing.
        cut_off: Whether bytes are missing at the end; then a beginning of a secret there goes too.
    """
    values = {
        name: value.encode("utf-8", "surrogateescape") for name, value in secrets.items() if value
    }
    places = sorted(
        (start, end, name)
        for name, value in values.items()
        for start, end in _places(output, value, cut_off)
    )
    parts: list[bytes] = []
    at = 0  # how much of the output is told or hidden
    for start, end, name in places:
        if start >= at:
            parts += [output[at:start], f"[secret {name}]".encode()]
        at = max(at, end)
    return b"".join([*parts, output[at:]]).decode("utf-8", "backslashreplace")


def _places(output: bytes, value: bytes, cut_off: bool) -> Iterator[tuple[int, int]]:
    """Yield where a value stands, half-open, overlapping ones and a cut one at the end too."""
    start = output.find(value)
    while start >= 0:
        yield start, start + len(value)
        start = output.find(value, start + 1)
    longest = min(len(value) - 1, len(output)) if cut_off else 0
    for size in range(longest, 0, -1):
        if output.endswith(value[:size]):
            yield len(output) - size, len(output)
            return
