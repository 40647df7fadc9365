"""Notices by email, through a real mail server: whom they reach, what they hold, what is not."""

from email import message_from_bytes, policy
from functools import partial
from pathlib import Path

import pytest
import trio

from monastery.auditor.web.notify import News, notify
from monastery.auditor.web.office import Office
from monastery.runtime.cli.notice_mail import by_email
from monastery.runtime.errors import BadInput
from tests.desk.world import SECRETS, World
from tests.executors.certificates import Authority
from tests.executors.mail import PASSWORD, mail_server

URL = "http://desk.test/"


async def test_each_gets_a_message_without_a_word_of_an_agent(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over an encrypted connection, with a login from variables; one address sees no other."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    world.put(rationale=SECRETS[0], payload=b"NEVER-TOLD", goal="NEVER-TOLD", kind="NEVER-TOLD")
    with mail_server(Authority.new(tmp_path), "starttls", login=True) as server:
        file = tmp_path / "mail.yaml"
        file.write_text(
            f"{{host: localhost, port: {server.port}, sender: Desk <desk@example.org>,"
            f" user: desk, password: $MAIL_PASSWORD, ca: {server.ca}}}"
        )
        tell = by_email(file, ["ada@example.org", "bob@example.org"])
        office, told = Office(world.clerk), trio.Event()

        async def tell_once(news: News) -> None:
            try:
                await tell(news)
            finally:
                told.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                partial(notify, office, URL, [tell_once], gather_seconds=0, pause_seconds=0)
            )
            await told.wait()
            nursery.cancel_scope.cancel()
        got = server.mailbox.got
        assert sorted(people for _, people, _ in got) == [["ada@example.org"], ["bob@example.org"]]
        assert server.mailbox.logins == [("desk", PASSWORD)] * 2
    for sender, (person,), wire in got:
        message = message_from_bytes(wire, policy=policy.default)
        assert (sender, message["To"]) == ("desk@example.org", person)
        assert message["Subject"] == "1 step waits for people"
        assert f"1 step waits for people at {URL}" in message.get_content()
        for word in (b"NEVER-TOLD", SECRETS[0].encode(), PASSWORD.encode()):
            assert word not in wire


async def test_who_is_refused_leaves_the_others_alone(tmp_path: Path) -> None:
    """The failure is told without an address, for it may be read in a log."""
    with mail_server(Authority.new(tmp_path), "none") as server:
        server.mailbox.refused["bob@example.org"] = "550 nobody here"
        file = tmp_path / "mail.yaml"
        file.write_text(f"{{host: 127.0.0.1, port: {server.port}, security: none, sender: a@b.cd}}")
        with pytest.raises(OSError, match="1 of 2 messages were not sent") as caught:
            await by_email(file, ["bob@example.org", "ada@example.org"])(News(2, 1, URL))
        assert "bob" not in str(caught.value)
        ((_, people, _),) = server.mailbox.got
    assert people == ["ada@example.org"]


@pytest.mark.parametrize(
    ("text", "address", "says"),
    [
        ("host: h.example.org\nsender: a@b.cd", "Ada <ada@example.org>", "no plain address"),
        ("host: h.example.org", "ada@example.org", "sender: Field required"),
        ("host: h.example.org\nsender: a@b.cd\nhosts: 1", "ada@example.org", "hosts: Extra"),
        ("host: h.example.org\nsender: a@b.cd\nallow: []", "ada@example.org", "without allow"),
        ("- 1", "ada@example.org", "the fields of steps.email"),
        ("host: [", "ada@example.org", "is no YAML"),
        (
            "host: h.example.org\nsender: a@b.cd\nuser: u\npassword: $NOT_SET_ANYWHERE",
            "ada@example.org",
            "$NOT_SET_ANYWHERE is not set",
        ),
        (None, "ada@example.org", "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, text: str | None, address: str, says: str
) -> None:
    """Before anything is served."""
    file = tmp_path / "mail.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(BadInput) as caught:
        by_email(file, [address])
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
