"""What goes wrong between a page and its vote, in a real browser: nothing lost, nothing twice."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from selenium.webdriver import Chrome

from monastery.auditor.desk.ballots import Given
from monastery.auditor.desk.clerk import Clerk, Voted
from monastery.auditor.desk.rules import Caller
from monastery.runtime.desk_book import DeskBook
from monastery.runtime.people import ROLES, Person
from monastery.runtime.records import Item, ItemId
from tests.cli.questions import Questions, question
from tests.desk.server import serving
from tests.desk.test_browser import Sitting
from tests.desk.wire import Breaks, Line, line

ONE_VOTE = {"two_votes": False}


class Desk:
    """Ada at a desk whose line can break, and what stands in its book."""

    def __init__(self, ada: Sitting, wire: Line, questions: Questions) -> None:
        self.ada, self.wire, self.questions = ada, wire, questions
        self._step = 0

    def put(self, **body: Any) -> Item:
        """Open a question."""
        self._step += 1
        return self.questions.put(question(step=self._step, **{"desk": ONE_VOTE} | body))

    def cast(self, item: Item, person: str = "ada") -> list[tuple[bool, Any, Any]]:
        """Return someone's ballots: whether each counts, its score and its note."""
        with DeskBook.open(self.questions.home) as book:
            cast = book.ballots(item.id, person)
        return [(one.counts, one.body.get("score"), one.body.get("note")) for one in cast]

    def judge(self, item: Item) -> None:
        """Look at a question and fill everything in."""
        self.ada.go(f"item/{item.id}")
        self.ada.armed()
        self.ada.keys("a", "7", "w", "an hour of work")

    def send(self) -> None:
        """Send it from the field."""
        self.ada.page.execute_script("document.querySelector('form.vote').requestSubmit()")

    def send_anyway(self) -> None:
        """Send it from a page that was not told what the server knows."""
        form = "document.querySelector('form.vote')"
        self.ada.page.execute_script(
            f"for (const one of {form}.elements) one.disabled = false;"
            f"HTMLFormElement.prototype.submit.call({form})"
        )


@pytest.fixture(scope="module")
def desk(page: Chrome, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A desk behind a line."""
    home = tmp_path_factory.mktemp("home")
    questions = Questions(home)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", f"{port}"]  # what it prints is the name that browsers use
    with line(port) as wire, serving(home, *options, "--name", f"localhost:{wire.port}") as server:
        ada = Sitting(page, server)
        ada.sign_in()
        yield Desk(ada, wire, questions)
    questions.store.close()


@pytest.mark.parametrize("breaks", ["before", "after"])
def test_a_line_that_breaks_in_the_middle_of_a_vote(desk: Desk, breaks: Breaks) -> None:
    """Whether it had arrived or not: sent again it is there, once, as it was typed."""
    item, before = desk.put(), desk.wire.cut
    desk.judge(item)
    desk.wire.breaks(breaks)
    desk.send()
    desk.ada.until(lambda: desk.ada.page.execute_script("return !document.querySelector('main')"))
    assert desk.wire.cut > before
    assert len(desk.cast(item)) == (breaks == "after")
    desk.wire.holds()
    desk.ada.page.refresh()
    desk.ada.until(lambda: "Recorded" in desk.ada.text())
    assert "an hour of work" in desk.ada.text()
    assert desk.cast(item) == [(True, 0.7, "an hour of work")]
    answer = desk.questions.answer(item)
    assert answer is not None
    assert len(answer["desk"]["ballots"]) == 1


def closes(state: Literal["answered", "expired", "withdrawn"]) -> Callable[[Desk, Item], None]:
    """Return what closes a question as its run would."""
    return lambda desk, item: desk.questions.close(item, state)


def changed(desk: Desk, item: Item) -> None:
    """Let its proposal have changed: it is asked anew."""
    desk.questions.close(item, "withdrawn")
    desk.questions.put(replace(item, id=ItemId(f"{item.id}~2")))


def outrun(desk: Desk, item: Item) -> None:
    """Let bob, who took it when ada's lease had run out, answer first."""
    later = datetime.now(UTC) + timedelta(seconds=1300)
    bob = Caller("bob", frozenset(ROLES))
    with DeskBook.open(desk.questions.home) as book:
        with book.turn():
            book.put_person(Person("bob", bob.roles, later))
        clerk, said = Clerk(book), {"decision": "reject", "score": 0.1}
        clerk.show(bob, item.id, later)
        told = clerk.vote(bob, item.id, Given("first", "bobs", said, by_hand=False), later)
        assert isinstance(told, Voted)


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (closes("withdrawn"), "It was withdrawn"),
        (closes("expired"), "Its time is up"),
        (changed, "has changed since"),
        (closes("answered"), "It has its answer already"),
        (outrun, "It has its answer already"),
    ],
)
def test_what_happens_meanwhile_is_told_and_the_vote_kept(
    desk: Desk, happens: Callable[[Desk, Item], None], words: str
) -> None:
    """The open page says so; a vote that is sent all the same is kept, and counts for nothing."""
    item = desk.put()
    desk.judge(item)
    happens(desk, item)
    desk.ada.until(lambda: words in desk.ada.text("#closed"))
    assert desk.ada.find("textarea[name=note]").get_attribute("value") == "an hour of work"
    assert not desk.ada.find("#send").is_enabled()
    desk.ada.arrive(desk.send_anyway)
    assert words in desk.ada.text()
    assert "an hour of work" in desk.ada.text()
    assert desk.cast(item) == [(False, 0.7, "an hour of work")]
    answer = desk.questions.answer(item)
    assert (answer or {}).get("decision") == ("reject" if happens is outrun else None)


def test_time_alone_closes_a_page(desk: Desk) -> None:
    """Nobody writes anything: the deadline passes, and the page that is open says so."""
    item = desk.put(expires_seconds=3.0)
    desk.ada.go(f"item/{item.id}")
    desk.ada.until(lambda: "Its time is up" in desk.ada.text())


@pytest.mark.parametrize("score", ["7", "NaN", ""])
def test_a_score_out_of_range_is_refused_beside_what_was_typed(desk: Desk, score: str) -> None:
    """Whatever a page was made to send: one line says why, the note stays, nothing is kept."""
    item = desk.put()
    desk.judge(item)
    desk.ada.page.execute_script(
        "document.querySelector('input[name=score]:checked').value = arguments[0]", score
    )
    desk.ada.arrive(desk.send)
    assert "score" in desk.ada.text("#closed")
    assert desk.ada.find("textarea[name=note]").get_attribute("value") == "an hour of work"
    assert desk.cast(item) == []
