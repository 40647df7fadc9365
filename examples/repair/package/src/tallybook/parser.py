"""Reading a book from text.

    2024-01-31 * Landlord #rent
        Expenses:Rent      800.00 EUR
        Assets:Bank

    2024-02-01 price ACME 12.50 EUR

A line that begins with ``;`` is a comment, and so is what follows `` ;`` on any line.
"""

from __future__ import annotations

from datetime import date

from .book import Book
from .entries import Entry, Posting
from .errors import BookError, ParseError
from .money import Amount
from .prices import Prices


def parse_book(text: str) -> Book:
    """Read a whole book.

    Raises:
        ParseError: with the number of the line (from 1) that cannot be read.
    """
    entries: list[Entry] = []
    prices = Prices()
    block: list[tuple[int, str]] = []
    for number, raw in enumerate(text.splitlines(), start=1):
        line = without_comment(raw).rstrip()
        if line[:1].isspace():
            if not block:
                raise ParseError(number, "a posting without an entry above it")
            block.append((number, line.strip()))
            continue
        if block:
            entries.append(parse_entry(block))
            block = []
        if not line:
            continue
        words = line.split()
        if len(words) > 1 and words[1] == "price":
            parse_price(number, words, prices)
        else:
            block = [(number, line)]
    if block:
        entries.append(parse_entry(block))
    return Book(entries, prices)


def without_comment(line: str) -> str:
    """Drop a comment from a line."""
    if line.lstrip().startswith(";"):
        return ""
    position = line.find(" ;")
    return line if position < 0 else line[:position]


def parse_date(number: int, text: str) -> date:
    """Read a day as 2024-01-31 or 2024/01/31."""
    try:
        return date.fromisoformat(text.replace("/", "-"))
    except ValueError as error:
        raise ParseError(number, f"not a date: {text!r}") from error


def parse_price(number: int, words: list[str], prices: Prices) -> None:
    """Read a price line into the price list."""
    if len(words) != 5:
        raise ParseError(number, "a price is written DATE price COMMODITY NUMBER COMMODITY")
    try:
        amount = Amount.parse(" ".join(words[3:]))
    except ValueError as error:
        raise ParseError(number, str(error)) from error
    prices.add(parse_date(number, words[0]), words[2], amount)


def parse_entry(block: list[tuple[int, str]]) -> Entry:
    """Read an entry from its lines: the head and the postings."""
    number, head = block[0]
    day_text, _, rest = head.partition(" ")
    day = parse_date(number, day_text)
    rest = rest.strip()
    cleared = rest.startswith("*")
    words = rest.lstrip("* ").split()
    tags = frozenset(word[1:] for word in words if word.startswith("#"))
    payee = " ".join(word for word in words if not word.startswith("#"))
    postings = tuple(parse_posting(number, line) for number, line in block[1:])
    try:
        return Entry(day, payee, postings, cleared, tags).completed()
    except BookError as error:
        raise ParseError(number, str(error)) from error


def parse_posting(number: int, line: str) -> Posting:
    """Read ``ACCOUNT [AMOUNT [@ COST]]``."""
    account, _, rest = line.partition(" ")
    if not rest.strip():
        return Posting(account)
    amount_text, at, cost_text = rest.partition("@")
    try:
        amount = Amount.parse(amount_text)
        cost = Amount.parse(cost_text) if at else None
    except ValueError as error:
        raise ParseError(number, str(error)) from error
    return Posting(account, amount, cost)
