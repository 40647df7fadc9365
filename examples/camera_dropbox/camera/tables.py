"""Tables in Markdown, what was found before beside what is computed here."""

from collections.abc import Callable, Iterable
from typing import Any

from camera import published

Row = dict[str, Any]
SHARES = ("failure", "desired", "hack")


def horizon(rows: list[Row]) -> str:
    """One row for each horizon that others computed too, without approval and with it."""
    heads = ["M", "no approval", "before", "with approval", "before"]
    heads += ["observed, true return", "before"]
    lines = []
    for m, before in published.NO_APPROVAL.items():
        none, good = (_find(rows, horizon=m, approval=name) for name in ("none", "good"))
        returns = [_returns(good["observed_return"], good["true_return"])]
        returns.append(_returns(*published.RETURNS[m]) if m in published.RETURNS else "")
        also = [_shares(good), _put(published.APPROVAL[m]), *returns]
        lines.append([str(m), _shares(none), _put(before), *also])
    return _table(heads, lines)


def noise(rows: list[Row]) -> str:
    """The noise that others tried, with their ten seeds and with many."""
    heads = ["M", "10 seeds", "before, 10 seeds", "spread of failure", "1000 seeds"]
    lines = []
    for m, before in published.NOISE.items():
        ten = _find(rows, horizon=m, noise=0.5, seeds=10)
        many = [row for row in rows if row["seeds"] == 1000 and row["horizon"] == m]
        thousand = _shares(many[0], 3) if many else ""
        spread = f"{ten['spread']['failure']:.3f}"
        lines.append([str(m), _shares(ten, 3), _put(before, 2), spread, thousand])
    return _table(heads, lines)


def blend(rows: list[Row]) -> str:
    """Every weight at which a myopic agent begins to do otherwise."""
    horizons = sorted({row["horizon"] for row in rows})
    heads = ["W", *(f"M = {m}" for m in horizons)]
    names = dict.fromkeys(row["approval"] for row in rows)
    lines = []
    for name in names:
        found = [_shares(_find(rows, horizon=m, approval=name), 3) for m in horizons]
        lines.append([name.partition(":")[2], *found])
    return _table(heads, lines)


def iterated(rows: list[Row]) -> str:
    """One row for each round."""
    heads = ["round", "failure / desired / hack", "observed return", "true return"]
    return _table(
        heads,
        [
            [
                str(row["round"]),
                _shares(row),
                f"{row['observed_return']:.4f}",
                f"{row['true_return']:.4f}",
            ]
            for row in rows
        ],
    )


def learning(rows: list[Row]) -> str:
    """Each learner's end: as it was trained, and its likeliest actions alone."""
    heads = ["learner", "paid", "steps", "seeds", "failure / desired / hack", "± (95 %)"]
    heads += ["likeliest actions", "published"]
    lines = []
    for last in (row for row in rows if row["policy"] == "greedy"):
        same = {name: last[name] for name in ("learner", "arm", "steps")}
        end = _find(rows, policy="as trained", **same)
        before = published.PPO.get(end["arm"]) if end["learner"] == "PPO" else None
        halves = " / ".join(f"{end[f'{name}_half']:.3f}" for name in SHARES)
        lines.append(
            [
                end["learner"],
                end["arm"],
                f"{end['steps']:,}",
                str(end["learners"]),
                _shares(end, 3),
                halves,
                _shares(last, 3),
                _put(before, 3) if before else "",
            ]
        )
    return _table(heads, lines)


TABLES: dict[str, Callable[[list[Row]], str]] = {
    "horizon": horizon,
    "noise": noise,
    "blend": blend,
    "iterated": iterated,
    "learning": learning,
}


def _find(rows: list[Row], **wanted: Any) -> Row:
    return next(row for row in rows if all(row[name] == value for name, value in wanted.items()))


def _shares(row: Row, digits: int = 4) -> str:
    return _put([row[name] for name in SHARES], digits)


def _put(shares: Iterable[float], digits: int = 4) -> str:
    return " / ".join(f"{share:.{digits}f}" for share in shares)


def _returns(observed: float, true: float) -> str:
    return f"{observed:.4f}, {true:.4f}"


def _table(heads: list[str], lines: list[list[str]]) -> str:
    rule = ["---"] * len(heads)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heads, rule, *lines))
