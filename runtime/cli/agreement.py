"""`monastery agreement`: how far auditors agree, what each is like, and what they dispute."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated

import typer

from monastery.auditor.agreement import Coefficient
from monastery.auditor.desk.study import as_json, study, votes
from monastery.auditor.intervals import Share
from monastery.auditor.panel import Disputed, Member, Panel
from monastery.auditor.persuasion import Persuasion
from monastery.auditor.votes import parse_json
from monastery.runtime.cli import output
from monastery.runtime.cli.home import HomeOption, find, find_run
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.display import visible_line
from monastery.runtime.errors import BadInput
from monastery.runtime.people import Told

app = typer.Typer(rich_markup_mode=None, add_completion=False)

DISPUTED_SHOWN = 20
_ALL = 2**62
WARNING = (
    "Alpha misleads when bad steps are rare: it nears 0 though almost all votes agree; AC1 stays"
    " high there, even of votes by lot. ± is one standard error."
)
ESTIMATED = (
    "~ is estimated from the votes alone (Dawid and Skene), as if auditors erred independently."
)

UNSETTLED = "That estimate did not come to rest: do not rely on what is marked with ~."
PERSUADED = (
    "MOVED is the second vote's score less the first's, of those who voted before and after the"
    " agent's reasons, with a 95 % interval; LET THROUGH and STOPPED count decisions that changed."
)


@app.command(
    epilog="Examples: monastery agreement; monastery agreement last --known planted.json. Exit "
    "codes: 0 done, 2 bad input."
)
def agreement(
    run: Annotated[
        list[str] | None,
        typer.Argument(
            help="The runs: their names, beginnings of them, or last. Default: all of the home.",
            show_default=False,
        ),
    ] = None,
    known: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help='Steps of which it is known whether they are good: {"RUN.3": "bad", …}.',
            show_default=False,
        ),
    ] = None,
    persuasion: Annotated[
        bool,
        typer.Option(
            "--persuasion",
            help="Only how far the second vote, after the reasons, is from the first.",
        ),
    ] = False,
    home: HomeOption = None,
    json: output.JsonOption = False,
) -> None:
    """Tell how far auditors agree, what each is like, and what they dispute.

    From the recorded votes on steps about which nobody can be asked any more. A vote that approves
    lets its step through; every other one stops it. Alpha (Krippendorff) and AC1 (Gwet) are 1 for
    perfect agreement. Alpha misleads when bad steps are rare, which is why both are given. With
    --known: how often each auditor stopped the bad steps (sensitivity) and let the good ones
    through (specificity), with exact 95 % intervals.
    """
    right = None if known is None else _known(known)
    with DeskBook.open(find(home), create=False) as book:
        found = study(_told(book, run), right)
    if right is not None and not right.keys() & {one.item for one in votes(found.steps)}:
        raise BadInput(f"{str(known)!r} names no step that these runs' auditors voted on")
    if json:
        output.as_json(as_json(found))
        return
    if persuasion:
        _persuasion(found.persuasion)
    else:
        _print(found.panel, len(found.runs))
        if found.panel.votes and found.persuasion:
            output.line()
            _persuasion(found.persuasion)
    if found.hidden:
        steps = _count(found.hidden, "audited step")
        output.line(f"left out: {steps}, of which someone may still be asked")


def _told(book: DeskBook, named: Sequence[str] | None) -> list[Told]:
    """Return the runs that are meant, each once."""
    if not named:
        return book.told(most=_ALL)
    runs = dict.fromkeys(find_run(book, one).run for one in named)
    return [told for run in runs for told in book.told(run, most=1)]


def _known(path: Path) -> dict[str, bool]:
    """Return whether steps are good, by the name of their segment.

    Raises:
        BadInput: The file cannot be read, or says anything else.
    """
    try:
        told = parse_json(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise BadInput(f"{str(path)!r} cannot be read as JSON: {exc}") from exc
    if not isinstance(told, dict) or not told:
        raise BadInput(f'{str(path)!r} holds no steps; write {{"RUN.3": "bad", "RUN.4": "good"}}')
    for segment, word in told.items():
        if word not in ("good", "bad"):
            raise BadInput(f"{str(path)!r}: {segment!r} is {word!r}; write good or bad")
    return {segment: word == "good" for segment, word in told.items()}


def _print(panel: Panel, runs: int) -> None:
    votes, steps = _count(panel.votes, "vote"), _count(panel.items, "step")
    output.line(f"{votes} on {steps} of {_count(runs, 'run')}")
    if not panel.votes:
        return
    output.line()
    if panel.compared:
        _agreement(panel)
    else:
        output.line("no step has votes of two auditors: whether they agree cannot be told")
    output.line()
    _members(panel.members)
    if panel.settled is False:
        output.line(UNSETTLED)
    if panel.disputed:
        output.line()
        _disputed(panel.disputed)


def _agreement(panel: Panel) -> None:
    output.table(
        ("ON", "SAME", "ALPHA", "AC1", "STEPS", "VOTES"),
        [
            (
                one.on,
                _share(one.raw),
                _coefficient(one.alpha),
                "" if one.ac1 is None else _coefficient(one.ac1),
                str(one.alpha.items),
                str(one.alpha.votes),
            )
            for one in panel.agreement
        ],
        right=("SAME", "STEPS", "VOTES"),
    )
    output.line(WARNING)


def _members(members: Sequence[Member]) -> None:
    estimated = any(one.estimated and not one.known for one in members)
    rated = estimated or any(one.known for one in members)
    headers = ["AUDITOR", "VOTES", "APPROVED", "SCORE", "SECONDS", "SHARED", "AGREES", "LEANS"]
    output.table(
        headers + (["SENSITIVITY", "SPECIFICITY"] if rated else []),
        [
            (
                visible_line(one.auditor),
                str(one.votes),
                _share(one.approved),
                f"{one.score:.2f}",
                f"{one.seconds:.1f}",
                str(one.compared),
                _share(one.agrees),
                "" if one.leans is None else f"{one.leans:+.2f}",
                *(_rates(one) if rated else ()),
            )
            for one in members
        ],
        right=headers[1:],
    )
    if estimated:
        output.line(ESTIMATED)


def _persuasion(found: Sequence[Persuasion]) -> None:
    if not found:
        output.line("nobody voted twice on a step: how far reasons persuade cannot be told")
        return
    headers = ("PERSUADED", "STEPS", "MOVED", "LET THROUGH", "STOPPED", "OTHERWISE")
    output.table(
        headers,
        [
            (
                "(all)" if one.auditor is None else visible_line(one.auditor),
                str(one.moved.of),
                _moved(one),
                str(one.let_through),
                str(one.stopped),
                str(one.otherwise),
            )
            for one in found
        ],
        right=("STEPS", "LET THROUGH", "STOPPED", "OTHERWISE"),
    )
    output.line(PERSUADED)


def _moved(one: Persuasion) -> str:
    told = one.moved
    if told.low is None or told.high is None:
        return f"{told.value:+.2f}"
    return f"{told.value:+.2f} ({told.low:+.2f} to {told.high:+.2f})"


def _disputed(disputed: Collection[Disputed]) -> None:
    shown = list(disputed)[:DISPUTED_SHOWN]
    output.table(
        ("DISPUTED", "SPREAD", "GOOD", "VOTES"),
        [
            (
                one.item,
                f"{one.spread:.2f}",
                _good(one),
                ", ".join(
                    f"{visible_line(vote.auditor)} {vote.decision} {vote.score:.2f}"
                    for vote in one.ballots
                ),
            )
            for one in shown
        ],
        right=("SPREAD",),
    )
    if len(disputed) > len(shown):
        output.line(f"… and {len(disputed) - len(shown)} more; --json has all")


def _coefficient(told: Coefficient) -> str:
    if told.value is None:
        return "cannot be told"
    error = "" if told.error is None else f" ± {told.error:.2f}"
    return f"{told.value:.2f}{error}"


def _rates(member: Member) -> tuple[str, str]:
    if member.known is not None:
        return _exact(member.known.sensitivity), _exact(member.known.specificity)
    if member.estimated is not None:
        return f"~{member.estimated.sensitivity:.2f}", f"~{member.estimated.specificity:.2f}"
    return "", ""


def _exact(share: Share) -> str:
    if share.value is None:
        return "none seen"
    return f"{share.value:.2f} of {share.of} ({share.low:.2f} to {share.high:.2f})"


def _good(one: Disputed) -> str:
    if one.known is not None:
        return "yes" if one.known else "no"
    return "" if one.good is None else f"~{one.good:.2f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}%"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
