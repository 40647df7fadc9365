"""The kind ``email`` with real mail servers: the listed people, all or none, and nothing hidden."""

import base64
import hashlib
import json
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors import email_message
from monastery.runtime.executors.email_message import Attachment, Draft
from monastery.runtime.executors.smtp import PerhapsSent
from tests.executors.certificates import Authority
from tests.executors.mail import PASSWORD, MailServer, mail_server, scripted
from tests.executors.world import Faults, Make, Steps

SETTINGS: dict[str, Any] = {
    "host": "localhost",
    "sender": "Tidy Report <agent@example.org>",
    "allow": ["ada@example.org", "@example.com"],
}


def email(**parts: Any) -> bytes:
    """Return a payload: a short message to Ada, changed by `parts`."""
    whole = {"to": ["ada@example.org"], "subject": "Week 12", "text": "Both pages are done.\n"}
    return json.dumps({**whole, **parts}).encode()


def parsed(wire: bytes) -> EmailMessage:
    """Return a message as its reader's program sees it."""
    message = message_from_bytes(wire, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that nobody else trusts."""
    return Authority.new(tmp_path)


@pytest.fixture
def plain(authority: Authority) -> Iterator[MailServer]:
    """A server without encryption."""
    with mail_server(authority, "none") as server:
        yield server


def unencrypted(port: int, **more: Any) -> dict[str, Any]:
    """Return settings for a server on this machine."""
    return {**SETTINGS, "host": "127.0.0.1", "port": port, "security": "none", **more}


async def test_message_arrives_as_it_was_shown(make: Make, step: Steps, plain: MailServer) -> None:
    """Headers, text and files that the server got are what the auditor read; Bcc is unseen."""
    png = bytes(range(256)) * 9
    payload = email(
        cc=["bob@example.com"],
        bcc=["eve@EXAMPLE.com"],
        subject="Grüße: the week’s report",
        text=".\nFrom here on\n..two dots, ünd " + "long " * 300 + "\n",
        in_reply_to="<a.1@example.org>",
        attachments={
            "chart.png": {"base64": base64.b64encode(png).decode()},
            "räport.csv": {"text": "a,b\r\n1,2\n"},
            "page.html": {"text": "<b>x"},
        },
    )
    executor = make("email", **unencrypted(plain.port))
    executor.check(payload)
    outcome = await executor.execute(step("email", payload))
    assert outcome.status == "done"
    people = ["ada@example.org", "bob@example.com", "eve@example.com"]
    assert outcome.content["recipients"] == dict.fromkeys(people, "250 fine")
    ((sender, recipients, wire),) = plain.mailbox.got
    assert (sender, recipients) == ("agent@example.org", people)
    message = parsed(wire)
    assert message["Message-ID"] == outcome.content["message_id"] == "<r.1.step@example.org>"
    assert message["From"] == "Tidy Report <agent@example.org>"
    assert "Bcc" not in message
    assert b"eve" not in wire
    body = message.get_body()
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == json.loads(payload)["text"]
    files = list(message.iter_attachments())
    assert [file.get_filename() for file in files] == ["chart.png", "räport.csv", "page.html"]
    assert files[0].get_payload(decode=True) == png
    assert files[1].get_payload(decode=True) == b"a,b\r\n1,2\n"
    shown = executor.render(payload)
    for told in (
        "From: Tidy Report <agent@example.org>",
        "To: ada@example.org",
        "Cc: bob@example.com",
        "Bcc, unseen by the others: eve@example.com",
        "Subject: Grüße: the week’s report",
        "In-Reply-To: <a.1@example.org>",
        "    ..two dots, ünd long",
        f"chart.png  image/png, {len(png)} bytes, sha256 {hashlib.sha256(png).hexdigest()}:",
        "page.html  text/html, 4 bytes",
    ):
        assert told in shown


@pytest.mark.filterwarnings("ignore:Requiring AUTH")  # aiosmtpd does not see that tls is TLS
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_login_over_tls(
    make: Make,
    step: Steps,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    security: str,
) -> None:
    """The password comes from the environment, goes over TLS, and stands nowhere else."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    with mail_server(authority, security, login=True) as server:
        server.mailbox.says = f"250 hello {PASSWORD}"
        executor = make(
            "email",
            **SETTINGS,
            port=server.port,
            security=security,
            ca=str(server.ca),
            user="ada",
            password="$MAIL_PASSWORD",
        )
        outcome = await executor.execute(step("email", email()))
    assert outcome.status == "done", outcome
    assert server.mailbox.logins == [("ada", PASSWORD)]
    assert outcome.content["reply"] == "250 hello [secret MAIL_PASSWORD]"
    assert PASSWORD not in executor.render(email())


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_unknown_certificate_is_refused(
    make: Make, step: Steps, authority: Authority, security: str
) -> None:
    """A server that proves itself with a certificate nobody vouches for gets nothing."""
    with mail_server(authority, security) as server:
        executor = make("email", **SETTINGS, port=server.port, security=security)
        outcome = await executor.execute(step("email", email()))
    assert outcome.status == "failed"
    assert "CERTIFICATE_VERIFY_FAILED" in outcome.content["reason"]
    assert server.mailbox.got == []


async def test_certificate_of_another_name_is_refused(
    make: Make, step: Steps, authority: Authority
) -> None:
    """The certificate must be for the very host of the project file."""
    with mail_server(authority, "tls") as server:
        settings = {**SETTINGS, "host": "127.0.0.1", "port": server.port}
        executor = make("email", **settings, security="tls", ca=str(server.ca))
        outcome = await executor.execute(step("email", email()))
    assert outcome.status == "failed"
    assert server.mailbox.got == []


async def test_without_starttls_nothing_is_sent(
    make: Make, step: Steps, plain: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server, or who stands before it, cannot talk us out of encryption."""
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    settings = {**SETTINGS, "host": "127.0.0.1", "port": plain.port}
    executor = make("email", **settings, user="ada", password="$MAIL_PASSWORD")
    outcome = await executor.execute(step("email", email()))
    assert outcome.status == "failed"
    assert "STARTTLS" in outcome.content["reason"]
    assert (plain.mailbox.got, plain.mailbox.logins) == ([], [])


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
async def test_wrong_password(
    make: Make, step: Steps, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused login failed for certain, and says so without the password."""
    monkeypatch.setenv("MAIL_PASSWORD", "guessed-wrong")
    with mail_server(authority, "tls", login=True) as server:
        settings = {**SETTINGS, "port": server.port, "ca": str(server.ca)}
        executor = make("email", **settings, security="tls", user="ada", password="$MAIL_PASSWORD")
        outcome = await executor.execute(step("email", email()))
    assert outcome.status == "failed"
    assert "535" in outcome.content["reason"]
    assert "guessed-wrong" not in json.dumps(outcome.content)
    assert server.mailbox.got == []


async def test_one_refused_recipient_stops_all(make: Make, step: Steps, plain: MailServer) -> None:
    """When the server refuses one of three, nobody gets the message, and each answer is told."""
    plain.mailbox.refused["bob@example.com"] = "550 no such user"
    payload = email(to=["ada@example.org", "bob@example.com"], bcc=["eve@example.com"])
    outcome = await make("email", **unencrypted(plain.port)).execute(step("email", payload))
    assert outcome.status == "failed"
    assert outcome.content["recipients"] == {
        "ada@example.org": "250 fine",
        "bob@example.com": "550 no such user",
        "eve@example.com": "250 fine",
    }
    assert plain.mailbox.got == []


async def test_refused_message_failed_for_certain(
    make: Make, step: Steps, plain: MailServer
) -> None:
    """A message that the server read and did not take was not sent."""
    plain.mailbox.says = "554 spam"
    outcome = await make("email", **unencrypted(plain.port)).execute(step("email", email()))
    assert outcome.status == "failed"
    assert "554 spam" in outcome.content["reason"]


TO_DATA: list[bytes | None]
TO_DATA = [
    b"220 hi\r\n",
    b"250 hi\r\n",
    b"250 ok\r\n",
    b"250 ok\r\n",
    b"354 go\r\n",
]


@pytest.mark.parametrize(
    ("replies", "seconds"),
    [
        ([*TO_DATA], 60.0),
        ([*TO_DATA, b"what\r\n"], 60.0),
        ([*TO_DATA, b"299 perhaps\r\n"], 60.0),
        ([*TO_DATA, None], 2.0),
    ],
    ids=["hangs up", "nonsense", "strange", "silent"],
)
async def test_unacknowledged_message_is_unknown(
    make: Make, step: Steps, replies: list[bytes | None], seconds: float
) -> None:
    """When the server had the message and did not say that it took it, nobody knows."""
    with scripted(replies) as (port, lines):
        executor = make("email", **unencrypted(port, timeout_seconds=seconds))
        with pytest.raises(PerhapsSent, match=r"<r\.1\.step@example\.org>"):
            await executor.execute(step("email", email()))
    assert b"Both pages are done.\r\n" in lines


@pytest.mark.parametrize(
    ("replies", "seconds", "why"),
    [
        ([b""], 60.0, "closed"),
        ([b"220 hi\r\n", None], 2.0, "no answer within 2 s"),
        ([b"554 go away\r\n"], 60.0, "554 go away"),
        ([b"220 " + b"x" * 70_000 + b"\r\n", None], 60.0, "long"),
        ([b"220-more\r\n" * 40_000, None], 60.0, "said more than"),
        ([b"220 hi\r\n", b"250 hi\r\n", b"553 not you\r\n", b""], 60.0, "not you"),
        ([*TO_DATA[:4], b"451 later\r\n", b""], 60.0, "451 later"),
    ],
    ids=["hangs up", "silent", "busy", "long line", "endless", "no sender", "no data"],
)
async def test_hostile_server_before_the_message(
    make: Make, step: Steps, replies: list[bytes | None], seconds: float, why: str
) -> None:
    """Whatever a server does before it has the message: the step failed for certain, and ends."""
    with scripted(replies) as (port, _):
        executor = make("email", **unencrypted(port, timeout_seconds=seconds))
        outcome = await executor.execute(step("email", email()))
    assert outcome.status == "failed"
    assert why in outcome.content["reason"]
    assert len(outcome.content["reason"]) < 1000


async def test_server_that_is_not_there(make: Make, step: Steps) -> None:
    """Nobody to connect to: failed for certain."""
    with scripted([b""]) as (port, _):
        pass_through = await make("email", **unencrypted(port)).execute(step("email", email()))
        assert pass_through.status == "failed"
    outcome = await make("email", **unencrypted(port)).execute(step("email", email()))
    assert outcome.status == "failed"
    assert "cannot be reached" in outcome.content["reason"]


async def test_interrupt_waits_for_the_server(make: Make, step: Steps, plain: MailServer) -> None:
    """A cancelled step goes on to the server's answer: else nobody would know."""
    with trio.CancelScope() as scope:
        scope.cancel()
        outcome = await make("email", **unencrypted(plain.port)).execute(step("email", email()))
        assert outcome.status == "done"
    assert len(plain.mailbox.got) == 1


async def test_nobody_looks_for_an_email(make: Make, step: Steps, plain: MailServer) -> None:
    """After a crash a person is asked, and nothing is sent again."""
    executor = make("email", **unencrypted(plain.port))
    assert await executor.reconcile(step("email", email())) is None
    assert plain.mailbox.got == []
    assert executor.Settings.model_validate(SETTINGS).looks() is False  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "to",
    [
        "ada@example.net",
        "Ada@example.org",
        "ada@sub.example.org",
        "eve@sub.example.com",
        "eve@example.com.evil.net",
        "аda@example.org",
        "eve@exаmple.com",
        "eve@ｅxample.com",
        "eve@example。com",
        "Ada <ada@example.org>",
        '"ada@example.org" <eve@evil.net>',
        "eve@evil.net, ada@example.org",
        "eve@example.com,mallory@evil.net",
        "eve%evil.net@example.com",
        "evil.net!eve@example.com",
        '"eve@evil.net"@example.com',
        "eve(comment)@example.com",
        "eve@[127.0.0.1]",
        "-oQ/tmp@example.com",
        "eve@evil.net@example.com",
        "eve@example.com\n",
        "eve@example.com\r\nRCPT TO:<mallory@evil.net>",
        "eve@example.com>\r\nDATA",
        "eve\u202e@example.com",
        " ada@example.org",
        "ada@example.org.",
        "@example.com",
        "a" * 65 + "@example.com",
        "",
    ],
)
@pytest.mark.parametrize("field", ["to", "cc", "bcc"])
def test_recipient_is_refused(make: Make, to: str, field: str) -> None:
    """Only listed addresses, in their plain spelling: no names, look-alikes, routes or lines."""
    parts: dict[str, Any] = {"to": ["bob@example.com"], field: [to]}
    with pytest.raises(BadPayload) as caught:
        make("email", **SETTINGS).check(email(**parts))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "parts",
    [
        {"to": []},
        {"to": ["ada@example.org"], "cc": ["ada@Example.ORG"]},
        {"to": [f"p{n}@example.com" for n in range(21)]},
        {"subject": ""},
        {"subject": "Hi\r\nBcc: mallory@evil.net"},
        {"subject": "Hi\nBcc: mallory@evil.net"},
        {"subject": "Hi\rX: y"},
        {"subject": "Hi\u2028X: y"},
        {"subject": "Hi\x85X: y"},
        {"subject": "fdp.\u202etxt"},
        {"subject": "in\u200bvisible"},
        {"subject": "x" * 301},
        {"subject": "=?utf-8?q?Hi=0D=0ABcc=3A_mallory=40evil.net?="},
        {"subject": "=?utf-8?q?hello?="},
        {"text": " \n"},
        {"text": "a\rb"},
        {"text": "a\x1b[2Jb"},
        {"text": "a\0b"},
        {"text": "\ud800"},
        {"html": "<b>"},
        {"from": "eve@example.com"},
        {"headers": {"X": "y"}},
        {"in_reply_to": "<a@b>\r\nBcc: mallory@evil.net"},
        {"in_reply_to": "a@b"},
        {"attachments": {"a": {}}},
        {"attachments": {"a": {"text": "x", "base64": "eA=="}}},
        {"attachments": {"a": {"base64": "not base 64"}}},
        {"attachments": {"../a": {"text": "x"}}},
        {"attachments": {'a"; x="b': {"text": "x"}}},
        {"attachments": {"a\r\nX: y": {"text": "x"}}},
        {"attachments": {"fdp.\u202eexe": {"text": "x"}}},
        {"attachments": {str(n): {"text": "x"} for n in range(11)}},
        {"attachments": {"big.bin": {"text": "x" * 60_000}}},
    ],
)
def test_payload_is_refused(make: Make, parts: dict[str, Any]) -> None:
    """No value becomes a header, nothing is unseen, and everything has its bound."""
    with pytest.raises(BadPayload) as caught:
        make("email", **SETTINGS, max_bytes=50_000).check(email(**parts))
    assert "\n" not in str(caught.value)


LINES = st.text(
    st.characters(exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"]),
    min_size=1,
    max_size=120,
)


@given(LINES, st.text(max_size=300), st.lists(st.tuples(LINES, st.binary(max_size=99)), max_size=2))
def test_what_is_written_says_what_was_meant(
    subject: str, text: str, files: list[tuple[str, bytes]]
) -> None:
    """Any subject, text and file either reads back exactly from the wire, or is refused."""
    try:
        draft = Draft(
            "agent@example.org",
            ("ada@example.org",),
            (),
            (),
            email_message.subject(subject),
            email_message.body(text),
            None,
            tuple(email_message.attachment(name, content) for name, content in files),
        )
        wire = email_message.written(draft, key="r.1", date="Thu, 01 Jan 1970 00:00:00 +0000")
    except BadPayload:
        return
    assert max(map(len, wire.split(b"\r\n"))) <= 998
    assert b"\n" not in wire.replace(b"\r\n", b"")
    message = parsed(wire)
    assert message["Subject"] == subject
    assert [file.get_payload(decode=True) for file in message.iter_attachments()] == [
        content for _, content in files
    ]


def test_types_come_from_names_alone() -> None:
    """A message type that a mail program would open is never made; compressed files are bytes."""
    types = {
        name: email_message.attachment(name, b"").type
        for name in ("a.pdf", "a.tar.gz", "a.eml", "a.unknown", "a")
    }
    assert types.pop("a.pdf") == "application/pdf"
    assert set(types.values()) == {"application/octet-stream"}
    assert Attachment("a.csv", "text/csv", b"") == email_message.attachment("a.csv", b"")


def test_faults_name_field_and_mend(
    faults: Faults, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What cannot work here is told in a line each."""
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "empty.pem").touch()
    assert faults("email", **SETTINGS) == []
    found = faults(
        "email", **SETTINGS, user="$NOT_SET", password="$NOT_SET", ca="gone.pem", unknown="look"
    )
    assert [fault.split(": ")[0] for fault in found] == ["user", "password", "ca", "unknown"]
    (fault,) = faults("email", **SETTINGS, user="ada", password="$PATH", security="none")
    assert fault.startswith("security: ")
    (fault,) = faults("email", **SETTINGS, user="ada")
    assert fault.startswith("password: is missing")
    (fault,) = faults("email", **SETTINGS, ca="empty.pem")
    assert fault.startswith("ca: ")


@pytest.mark.parametrize(
    "settings",
    [
        {"allow": []},
        {"allow": ["example.org"]},
        {"allow": ["*"]},
        {"allow": ["@*.example.org"]},
        {"allow": ["@exаmple.org"]},
        {"sender": "a\r\nBcc: b@c.de"},
        {"sender": "ada@example.org <eve@evil.net>"},
        {"host": "user@host"},
        {"host": "http://host"},
        {"password": "hunter2"},
        {"security": "maybe"},
        {"port": 0},
    ],
)
def test_settings_are_strict(make: Make, settings: dict[str, Any]) -> None:
    """A pattern in the list, a password in the file and the like are faults of the project."""
    with pytest.raises(ValueError, match="validation error"):
        make("email", **{**SETTINGS, **settings})
