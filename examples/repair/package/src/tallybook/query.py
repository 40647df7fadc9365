"""A small language to choose entries: ``account = Assets and (amount > 100 or not cleared)``."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Callable

from . import accounts
from .entries import Entry

Test = Callable[[Entry], bool]

TOKEN = re.compile(r'\s*(?:"([^"]*)"|(<=|>=|!=|[()<>=~])|([^\s()<>=~!"]+))')


class QueryError(ValueError):
    """The text is not a query."""


def tokens(text: str) -> list[str]:
    """Cut a query into words and signs."""
    found: list[str] = []
    position = 0
    text = text.rstrip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise QueryError(f"cannot read {text[position:]!r}")
        found.append(next(group for group in match.groups() if group is not None))
        position = match.end()
    return found


def compile_query(text: str) -> Test:
    """Turn a query into a function from an entry to whether it is chosen.

    ``not`` binds closest, then ``and``, then ``or``.

    Raises:
        QueryError: when the text is not a query.
    """
    reader = _Reader(tokens(text))
    test = reader.either()
    if not reader.at_end:
        raise QueryError(f"did not expect {reader.peek()!r}")
    return test


class _Reader:
    """Reads tokens by recursive descent."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.position = 0

    @property
    def at_end(self) -> bool:
        return self.position >= len(self.words)

    def peek(self) -> str:
        return "" if self.at_end else self.words[self.position]

    def take(self) -> str:
        if self.at_end:
            raise QueryError("the query ends too soon")
        self.position += 1
        return self.words[self.position - 1]

    def either(self) -> Test:
        tests = [self.both()]
        while self.peek() == "or":
            self.take()
            tests.append(self.both())
        return lambda entry: any(test(entry) for test in tests)

    def both(self) -> Test:
        tests = [self.single()]
        while self.peek() == "and":
            self.take()
            tests.append(self.single())
        return lambda entry: all(test(entry) for test in tests)

    def single(self) -> Test:
        word = self.take()
        if word == "not":
            inner = self.single()
            return lambda entry: not inner(entry)
        if word == "(":
            inner = self.either()
            if self.take() != ")":
                raise QueryError("a parenthesis is not closed")
            return inner
        if word == "cleared":
            return lambda entry: entry.cleared
        return comparison(word, self.take(), self.take())


def comparison(name: str, sign: str, value: str) -> Test:
    """Return the test that one comparison stands for."""
    if name == "account" and sign in ("=", "!="):
        under = _any_account(value)
        return under if sign == "=" else lambda entry: under(entry)
    if name == "payee" and sign == "~":
        return lambda entry: value.lower() in entry.payee.lower()
    if name == "payee" and sign == "=":
        return lambda entry: entry.payee == value
    if name == "tag" and sign == "=":
        return lambda entry: value in entry.tags
    if name == "date":
        try:
            day = date.fromisoformat(value)
        except ValueError as error:
            raise QueryError(f"not a date: {value!r}") from error
        return lambda entry: compare(entry.day.toordinal(), sign, day.toordinal())
    if name == "amount":
        try:
            limit = Decimal(value)
        except InvalidOperation as error:
            raise QueryError(f"not a number: {value!r}") from error
        return lambda entry: any(compare(size, sign, limit) for size in _sizes(entry))
    raise QueryError(f"cannot ask for {name} {sign}")


def compare(left: int | Decimal, sign: str, right: int | Decimal) -> bool:
    """Compare two numbers by a sign."""
    if sign == "=":
        return left == right
    if sign == "!=":
        return left != right
    if sign == "<":
        return left < right
    if sign == "<=":
        return left <= right
    if sign == ">":
        return left > right
    if sign == ">=":
        return left >= right
    raise QueryError(f"cannot compare with {sign!r}")


def _any_account(above: str) -> Test:
    return lambda entry: any(accounts.is_under(name, above) for name in entry.accounts)


def _sizes(entry: Entry) -> list[Decimal]:
    return [abs(one.amount.quantity) for one in entry.postings if one.amount is not None]
