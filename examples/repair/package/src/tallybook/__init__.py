"""Plain-text double-entry bookkeeping."""

from .book import Book
from .entries import Entry, Posting
from .errors import BookError
from .money import Amount
from .parser import parse_book

__all__ = ["Amount", "Book", "BookError", "Entry", "Posting", "parse_book"]
