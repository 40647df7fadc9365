"""Spans of days."""

from datetime import date

import pytest

from tallybook.spans import Span, gaps, merged, next_period


def may(start, stop):
    return Span(date(2024, 5, start), date(2024, 5, stop))


def test_a_span_holds_its_start_and_not_its_stop():
    assert date(2024, 5, 1) in may(1, 3)
    assert date(2024, 5, 2) in may(1, 3)
    assert date(2024, 5, 3) not in may(1, 3)


def test_length():
    assert may(1, 8).days == 7
    assert may(1, 1).is_empty


def test_a_span_does_not_run_backwards():
    with pytest.raises(ValueError):
        may(2, 1)


def test_overlap():
    assert may(1, 5).overlaps(may(4, 8))
    assert may(4, 8).overlaps(may(1, 5))
    assert may(1, 9).overlaps(may(3, 4))


def test_neighbours_do_not_overlap():
    assert not may(1, 5).overlaps(may(5, 8))
    assert not may(5, 8).overlaps(may(1, 5))


def test_neighbours_touch():
    assert may(1, 5).touches(may(5, 8))
    assert may(5, 8).touches(may(1, 5))
    assert not may(1, 5).touches(may(6, 8))


def test_intersection():
    assert may(1, 5).intersection(may(3, 8)) == may(3, 5)
    assert may(1, 9).intersection(may(3, 4)) == may(3, 4)
    assert may(1, 5).intersection(may(5, 8)) is None


def test_shift():
    assert may(1, 5).shifted(2) == may(3, 7)
    assert may(3, 7).shifted(-2) == may(1, 5)


def test_months_of_a_span():
    span = Span(date(2024, 1, 20), date(2024, 3, 10))
    assert list(span.periods("month")) == [
        Span(date(2024, 1, 20), date(2024, 2, 1)),
        Span(date(2024, 2, 1), date(2024, 3, 1)),
        Span(date(2024, 3, 1), date(2024, 3, 10)),
    ]


def test_weeks_of_a_span():
    assert list(may(10, 22).periods("week")) == [may(10, 13), may(13, 20), may(20, 22)]


def test_next_period():
    assert next_period(date(2024, 5, 15), "quarter") == date(2024, 7, 1)
    assert next_period(date(2024, 5, 15), "year") == date(2025, 1, 1)
    with pytest.raises(ValueError):
        next_period(date(2024, 5, 15), "fortnight")


def test_merge_overlapping():
    assert merged([may(4, 8), may(1, 5)]) == [may(1, 8)]


def test_merge_neighbours():
    assert merged([may(1, 5), may(5, 8)]) == [may(1, 8)]


def test_merge_keeps_gaps():
    assert merged([may(1, 3), may(5, 8)]) == [may(1, 3), may(5, 8)]


def test_merge_a_span_inside_another():
    assert merged([may(1, 9), may(3, 4)]) == [may(1, 9)]


def test_merge_drops_empty_spans():
    assert merged([may(3, 3), may(7, 7)]) == []


def test_gaps():
    assert gaps([may(3, 5), may(7, 8)], may(1, 10)) == [may(1, 3), may(5, 7), may(8, 10)]


def test_gaps_at_the_edges():
    assert gaps([may(1, 4)], may(2, 6)) == [may(4, 6)]
    assert gaps([may(5, 9)], may(2, 6)) == [may(2, 5)]
    assert gaps([may(1, 9)], may(2, 6)) == []
    assert gaps([may(8, 9)], may(2, 6)) == [may(2, 6)]
