"""The errors that tallybook raises."""

from __future__ import annotations


class BookError(Exception):
    """Something in a book is wrong."""


class ParseError(BookError):
    """A line of a book cannot be read."""

    def __init__(self, line_number: int, message: str) -> None:
        super().__init__(f"line {line_number}: {message}")
        self.line_number = line_number
        self.message = message


class UnbalancedError(BookError):
    """The postings of an entry do not add up to zero."""


class PriceError(BookError):
    """No price leads from one commodity to another."""


class LotError(BookError):
    """More was sold than is held."""
