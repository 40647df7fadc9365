"""Notices: one for what comes together, no word of an agent in it, and none that stops the desk."""

import json
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from monastery.auditor.web.notify import News, by_program, by_webhook, notify
from monastery.auditor.web.office import Office
from tests.desk.world import World


class Heard:
    """Keeps what is told; breaks when it is told to."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.news: list[News] = []
        self.more = trio.Event()
        self._breaks = breaks

    async def __call__(self, news: News) -> None:
        """Hear it."""
        await trio.lowlevel.checkpoint()
        self.news.append(news)
        self.more.set()
        self.more = trio.Event()
        if self._breaks:
            raise OSError("the address https://secret.example/token is down")


async def test_what_comes_together_is_one_notice(world: World) -> None:
    """Then each new question is told of, and one teller that breaks leaves the others alone."""
    office, heard, broken = Office(world.clerk), Heard(), Heard(breaks=True)
    for step in (1, 2, 3):
        world.put(step, rationale="NEVER-TOLD", payload=b"NEVER-TOLD")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(office.watch)
        more = heard.more
        url = "http://desk.test/"
        tell = [broken, heard]
        nursery.start_soon(lambda: notify(office, url, tell, gather_seconds=0, pause_seconds=0))
        await more.wait()
        more = heard.more
        item = world.put(4)
        await more.wait()
        world.questions.close(item, "withdrawn")
        more = heard.more
        world.put(5)
        await more.wait()
        nursery.cancel_scope.cancel()
    assert heard.news == [News(3, 3, url), News(4, 1, url), News(4, 1, url)]
    assert broken.news == heard.news
    assert heard.news[0].text == "3 steps wait for people at http://desk.test/"


async def test_a_program_hears_of_it_on_its_standard_input(tmp_path: Path) -> None:
    """One line of JSON; it knows nothing else of us."""
    code = "import os, sys; open(sys.argv[1], 'w').write(sys.stdin.read() + ' '.join(os.environ))"
    told = tmp_path / "told"
    await by_program([sys.executable, "-c", code, str(told)])(News(1, 1, "http://x/"))
    line, _, names = told.read_text().partition("\n")
    assert json.loads(line)["text"] == "1 step waits for people at http://x/"
    assert set(names.split()) <= {"PATH", "HOME", "LC_CTYPE"}


async def test_a_chat_hears_of_it_at_its_webhook() -> None:
    """A POST of ``text``; anything but success is an error."""
    asked: list[bytes] = []
    answers = [b"200 OK", b"404 Not Found"]

    async def chat(stream: trio.SocketStream) -> None:
        head = b""
        while b"}" not in head:
            head += await stream.receive_some()
        asked.append(head)
        await stream.send_all(b"HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n" % answers[len(asked) - 1])

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, chat, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        tell = by_webhook(f"http://127.0.0.1:{port}/hook")
        await tell(News(2, 1, "http://x/"))
        with pytest.raises(OSError, match="404") as caught:
            await tell(News(2, 1, "http://x/"))
        assert "hook" not in str(caught.value)
        nursery.cancel_scope.cancel()
    assert asked[0].startswith(b"POST /hook ")
    assert b'"text"' in asked[0]
    assert b"2 steps wait" in asked[0]
