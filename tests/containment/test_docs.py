"""docs/containment.md lists every probe, every attack and every reason, and no other."""

import re
from pathlib import Path

from monastery.sandbox import seccomp
from monastery.sandbox.conformance import GROUPS
from monastery.sandbox.exhaustion import ATTACKS
from monastery.sandbox.probes.attempt import BARE, HOST, WEAK

PAGE = Path(__file__).parents[2] / "docs" / "containment.md"
CONTROLS = {WEAK: "weak", BARE: "bare", HOST: "host"}


def rows() -> str:
    """Return the tables that the page must hold; `python -m tests.containment.test_docs`."""
    lines = []
    for group, probes in GROUPS.items():
        lines += [f"### {group.capitalize()}", "", "| probe | expected | opens in | unless |"]
        lines += ["|---|---|---|---|"]
        for one in probes:
            unless = " ".join(
                filter(None, [one.machine and f"not {one.machine}", _unless(one.needs)])
            )
            lines.append(f"| {one.name} | {one.expected} | {CONTROLS[one.control]} | {unless} |")
        lines.append("")
    lines += ["### Exhaustion", "", "| attack | expected |", "|---|---|"]
    lines += [f"| {one.name} | {one.expected} |" for one in ATTACKS]
    lines += ["", "### System calls that are not answered", "", "| why | which |", "|---|---|"]
    lines += [f"| {why} | {' '.join(names.split())} |" for why, names in seccomp.DENIED.items()]
    return "\n".join(lines) + "\n"


def _unless(needs: str) -> str:
    if needs.startswith("CONFIG_") and needs.endswith("=n"):
        return f"the kernel has {needs.removesuffix('=n')}"
    if needs.startswith("CONFIG_"):
        return f"the kernel lacks {needs}"
    return f"the engine lacks {needs}" if needs.startswith("CAP_") else needs


def test_the_page_lists_what_there_is() -> None:
    """Each probe with its control, each attack and denied call: none missing, none invented."""
    text = PAGE.read_text()
    listed = text.partition("<!-- probes -->\n")[2].partition("<!-- end -->")[0]
    assert listed.strip() == rows().strip(), "run `python -m tests.containment.test_docs`"


def test_the_page_counts_right() -> None:
    """Numbers in the text are those of the code."""
    count = sum(len(group) for group in GROUPS.values())
    assert re.search(rf"\b{count} probes\b", PAGE.read_text())
    assert re.search(rf"\b{len(ATTACKS)} attacks\b", PAGE.read_text())


if __name__ == "__main__":
    before, _, rest = PAGE.read_text().partition("<!-- probes -->\n")
    PAGE.write_text(
        f"{before}<!-- probes -->\n{rows()}<!-- end -->{rest.partition('<!-- end -->')[2]}"
    )
