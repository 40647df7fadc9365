"""Rules for what comes back."""

from datetime import date

import pytest

from tallybook.recurrence import Rule, parse_rule

START = date(2024, 1, 10)


def test_every_day():
    rule = Rule("day", START, count=3)
    assert list(rule.dates()) == [date(2024, 1, 10), date(2024, 1, 11), date(2024, 1, 12)]


def test_every_third_day_until():
    rule = Rule("day", START, interval=3, until=date(2024, 1, 16))
    assert list(rule.dates()) == [date(2024, 1, 10), date(2024, 1, 13), date(2024, 1, 16)]


def test_until_between_two_days():
    rule = Rule("day", START, interval=3, until=date(2024, 1, 15))
    assert list(rule.dates()) == [date(2024, 1, 10), date(2024, 1, 13)]


def test_every_week_on_the_day_of_the_start():
    rule = Rule("week", START, count=2)
    assert list(rule.dates()) == [date(2024, 1, 10), date(2024, 1, 17)]


def test_every_second_week_on_two_days():
    rule = Rule("week", START, interval=2, weekdays=(4, 0), count=4)
    assert list(rule.dates()) == [
        date(2024, 1, 12),
        date(2024, 1, 22),
        date(2024, 1, 26),
        date(2024, 2, 5),
    ]


def test_every_month():
    rule = Rule("month", date(2024, 1, 31), count=3)
    assert list(rule.dates()) == [date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 31)]


def test_every_quarter():
    rule = Rule("month", START, interval=3, until=date(2024, 7, 10))
    assert list(rule.dates()) == [date(2024, 1, 10), date(2024, 4, 10), date(2024, 7, 10)]


def test_second_tuesday():
    rule = Rule("month", date(2024, 1, 1), nth=(2, 1), count=2)
    assert list(rule.dates()) == [date(2024, 1, 9), date(2024, 2, 13)]


def test_a_first_date_before_the_start_is_left_out():
    rule = Rule("month", START, nth=(2, 1), count=1)
    assert list(rule.dates()) == [date(2024, 2, 13)]


def test_fifth_friday_only_where_there_is_one():
    rule = Rule("month", date(2024, 1, 1), nth=(5, 4), count=2)
    assert list(rule.dates()) == [date(2024, 3, 29), date(2024, 5, 31)]


def test_skipped_days_do_not_count():
    rule = Rule("day", START, count=2, skip=frozenset({date(2024, 1, 11)}))
    assert list(rule.dates()) == [date(2024, 1, 10), date(2024, 1, 12)]


@pytest.mark.parametrize(
    "settings", [{"interval": 0, "count": 1}, {"every": "hour", "count": 1}, {}]
)
def test_rules_that_are_refused(settings):
    with pytest.raises(ValueError):
        Rule(**{"every": "day", "start": START, **settings})


def test_parse_a_weekly_rule():
    rule = parse_rule("every 2 weeks on mon, fri until 2024-06-30", START)
    assert rule == Rule("week", START, 2, date(2024, 6, 30), None, (0, 4))


def test_parse_a_count():
    assert parse_rule("every month for 6 times", START) == Rule("month", START, count=6)
    assert parse_rule("every day for 2", START) == Rule("day", START, count=2)


def test_parse_a_count_and_days():
    rule = parse_rule("every week for 3 times on tue", START)
    assert rule == Rule("week", START, count=3, weekdays=(1,))


@pytest.mark.parametrize("text", ["", "weekly", "every", "every 2", "every day sometimes"])
def test_parse_refuses(text):
    with pytest.raises(ValueError):
        parse_rule(text, START)
