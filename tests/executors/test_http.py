"""The kind ``http`` with real servers: what was shown is sent, to the very address looked at."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors import http_address
from monastery.runtime.executors.http_request import PerhapsDone
from tests.executors.certificates import Authority
from tests.executors.mail import scripted
from tests.executors.web import Got, WebServer, web_server
from tests.executors.world import Faults, Make, Steps

TOKEN = "hunter2secret"
LOOPBACK = ["127.0.0.0/8", "::1/128"]


def request(method: str, url: str, **more: Any) -> bytes:
    """Return a payload."""
    return json.dumps({"method": method, "url": url, **more}).encode()


def place(url: str, *methods: str, **more: Any) -> dict[str, Any]:
    """Return a listed place."""
    return {"url": url, "methods": list(methods or ["GET"]), **more}


@pytest.fixture
def web() -> Iterator[WebServer]:
    """A server without encryption."""
    with web_server() as server:
        yield server


class Names(trio.abc.HostnameResolver):
    """A resolver that gives a name other addresses each time it is asked."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def getaddrinfo(  # type: ignore[override]
        self, host: bytes | None, port: Any, *_: Any, **__: Any
    ) -> list[Any]:
        assert host is not None
        self.asked.append(host.decode())
        return [
            (
                socket.AF_INET6 if ":" in one else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (one, port),
            )
            for one in self.answers.pop(0)
        ]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise AssertionError("nobody asks for names")


async def test_request_is_sent_as_it_was_shown(
    make: Make, step: Steps, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line, headers and body that the server got are those shown, and nothing more."""
    monkeypatch.setenv("API_TOKEN", TOKEN)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    base = f"http://127.0.0.1:{web.port}/v1/"
    secrets = {"Authorization": "Bearer $API_TOKEN"}
    executor = make("http", allow=[place(base, "POST", secrets=secrets)], networks=LOOPBACK)
    web.answer = lambda got: (201, {"ETag": TOKEN, "Set-Cookie": "a=b"}, f"hi {TOKEN}".encode())
    payload = request(
        "POST",
        f"{base}reports?q=%C3%BC%20b",
        headers={"Content-Type": "application/json"},
        text='{"page": "ü"}',
    )
    executor.check(payload)
    outcome = await executor.execute(step("http", payload))
    (got,) = web.got
    assert got.line == "POST /v1/reports?q=%C3%BC%20b HTTP/1.1"
    body = '{"page": "ü"}'.encode()
    assert got.body == body
    assert got.headers == [
        ("Host", f"127.0.0.1:{web.port}"),
        ("Content-Type", "application/json"),
        ("Idempotency-Key", "r.1"),
        ("Authorization", f"Bearer {TOKEN}"),
        ("Content-Length", str(len(body))),
    ]
    assert outcome.status == "done"
    assert outcome.content == {
        "status": 201,
        "headers": {"etag": "[secret API_TOKEN]"},
        "body": "hi [secret API_TOKEN]",
        "truncated": False,
    }
    shown = executor.render(payload)
    assert shown.startswith(f"POST {base}reports?q=%C3%BC%20b\n(decoded: /v1/reports?q=ü b)\n")
    assert "Authorization: Bearer $API_TOKEN (set outside)" in shown
    assert '    {"page": "ü"}' in shown
    assert TOKEN not in shown


async def test_name_is_resolved_once_and_kept_for_tls(
    make: Make, step: Steps, tmp_path: Path
) -> None:
    """A name that changes its address after the look is no way in; SNI and Host keep the name."""
    authority = Authority.new(tmp_path)
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    trio.socket.set_custom_hostname_resolver(names)
    with web_server(authority, "api.example.org") as web:
        base = f"https://api.example.org:{web.port}/"
        executor = make("http", allow=[place(base)], networks=LOOPBACK, ca=str(authority.path))
        outcome = await executor.execute(step("http", request("GET", base)))
        assert outcome.status == "done", outcome
        assert dict(web.got[0].headers)["Host"] == f"api.example.org:{web.port}"
        assert names.asked == ["api.example.org"]


async def test_certificate_must_be_the_name_s(make: Make, step: Steps, tmp_path: Path) -> None:
    """A server with another name's certificate, or an unknown one, gets no byte of the request."""
    authority = Authority.new(tmp_path)
    with web_server(authority, "other.example.org") as web:
        base = f"https://api.example.org:{web.port}/"
        for more in ({"ca": str(authority.path)}, {}):
            trio.socket.set_custom_hostname_resolver(Names(["127.0.0.1"]))
            executor = make("http", allow=[place(base, "POST")], networks=LOOPBACK, **more)
            outcome = await executor.execute(step("http", request("POST", base, text="x")))
            assert outcome.status == "failed"
            assert "nothing was sent" in outcome.content["reason"]
        assert web.got == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.215.14", "127.0.0.1"],
        ["10.0.0.1"],
        ["169.254.169.254"],
        ["::1"],
        ["::ffff:127.0.0.1"],
        ["fe80::1%eth0"],
        ["fd00::1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        ["0.0.0.0"],
        ["100.64.0.1"],
        ["224.0.0.1"],
        [],
    ],
)
async def test_private_address_is_refused(make: Make, step: Steps, addresses: list[str]) -> None:
    """A name with any address that is not public is not connected to, unless it is listed."""
    trio.socket.set_custom_hostname_resolver(Names(addresses))
    base = "https://api.example.org/"
    outcome = await make("http", allow=[place(base, "POST")], networks=["192.168.0.0/16"]).execute(
        step("http", request("POST", base))
    )
    assert outcome.status == "failed"
    assert "nothing was sent" in outcome.content["reason"]
    assert "address" in outcome.content["reason"]


def test_public_addresses_are_let_through() -> None:
    """What is public is; the check is not one that refuses everything."""
    found = ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"]
    assert http_address.checked(found, []) == [http_address.ipaddress.ip_address(a) for a in found]


async def test_redirect_is_told_and_not_followed(make: Make, step: Steps, web: WebServer) -> None:
    """Where a server would send us is in the outcome; nobody goes there."""
    base = f"http://127.0.0.1:{web.port}/"
    web.answer = lambda got: (302, {"Location": f"{base}elsewhere"}, b"")
    executor = make("http", allow=[place(base)], networks=LOOPBACK)
    outcome = await executor.execute(step("http", request("GET", f"{base}a")))
    assert outcome.status == "failed"
    assert outcome.content["status"] == 302
    assert outcome.content["headers"] == {"location": f"{base}elsewhere"}
    assert len(web.got) == 1


async def test_huge_body_is_cut(make: Make, step: Steps, web: WebServer) -> None:
    """Of a flood the first bytes are kept; a secret that is cut at the end is hidden too."""
    base = f"http://127.0.0.1:{web.port}/"
    web.answer = lambda got: (200, {}, b"x" * (64 << 20))
    executor = make("http", allow=[place(base)], networks=LOOPBACK, max_bytes=1000)
    outcome = await executor.execute(step("http", request("GET", base)))
    assert outcome.status == "done"
    assert outcome.content["body"] == "x" * 1000
    assert outcome.content["truncated"] is True


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (b"", 60.0),
        (None, 2.0),
        (b"SSH-2.0-OpenSSH\r\n", 60.0),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 300_000, 60.0),
        (b"HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n", 60.0),
    ],
    ids=["hangs up", "silent", "nonsense", "huge head", "gateway"],
)
async def test_unanswered_request_is_unknown(
    make: Make, step: Steps, answer: bytes | None, seconds: float
) -> None:
    """What was sent and not answered may have been done; what only reads failed for certain."""
    for method in ("POST", "GET"):
        with scripted([b"", b"", b"", b"", answer]) as (port, _):
            base = f"http://127.0.0.1:{port}/"
            executor = make(
                "http", allow=[place(base, method)], networks=LOOPBACK, timeout_seconds=seconds
            )
            if method == "GET":
                outcome = await executor.execute(step("http", request(method, base)))
                assert outcome.status == "failed"
            else:
                with pytest.raises(PerhapsDone) as caught:
                    await executor.execute(step("http", request(method, base)))
                assert "\n" not in str(caught.value)


async def test_server_that_is_not_there(make: Make, step: Steps, web: WebServer) -> None:
    """Nobody to connect to: nothing was sent, and that is certain."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    base = f"http://127.0.0.1:{port}/"
    executor = make("http", allow=[place(base, "POST")], networks=LOOPBACK)
    outcome = await executor.execute(step("http", request("POST", base)))
    assert outcome.status == "failed"
    assert "nothing was sent" in outcome.content["reason"]


async def test_interrupt_waits_for_the_answer(make: Make, step: Steps, web: WebServer) -> None:
    """A cancelled step goes on to the server's answer: else nobody would know."""
    base = f"http://127.0.0.1:{web.port}/"
    executor = make("http", allow=[place(base, "POST")], networks=LOOPBACK)
    outcomes = []
    with trio.CancelScope() as scope:
        scope.cancel()
        outcomes.append(await executor.execute(step("http", request("POST", base))))
    assert [outcome.status for outcome in outcomes] == ["done"]


@pytest.mark.parametrize(
    ("looked", "idempotent", "status", "lines"),
    [
        (200, False, "done", ["GET /steps/r.1"]),
        (404, False, None, ["GET /steps/r.1"]),
        (404, True, "done", ["GET /steps/r.1", "POST /"]),
        (500, True, None, ["GET /steps/r.1"]),
        (302, True, None, ["GET /steps/r.1"]),
        (None, True, "done", ["POST /"]),
        (None, False, None, []),
    ],
)
async def test_reconcile_looks(
    make: Make,
    step: Steps,
    web: WebServer,
    looked: int | None,
    idempotent: bool,
    status: str | None,
    lines: list[str],
) -> None:
    """A look that finds the step says done; only what may be sent twice is sent again."""

    def answer(got: Got) -> tuple[int, dict[str, str], bytes]:
        return (looked or 0 if got.line.startswith("GET") else 200), {}, b""

    web.answer = answer
    base = f"http://127.0.0.1:{web.port}/"
    look = None if looked is None else f"{base}steps/{{key}}"
    one = place(base, "POST", idempotent=idempotent, look=look)
    executor = make("http", allow=[one], networks=LOOPBACK)
    outcome = await executor.reconcile(step("http", request("POST", base, text="x")))
    assert (None if outcome is None else outcome.status) == status
    assert [got.line.removesuffix(" HTTP/1.1") for got in web.got] == lines
    assert {dict(got.headers)["Idempotency-Key"] for got in web.got} <= {"r.1"}


async def test_reading_is_read_again(make: Make, step: Steps, web: WebServer) -> None:
    """A GET changes nothing: after a crash it is simply made again."""
    base = f"http://127.0.0.1:{web.port}/"
    executor = make("http", allow=[place(base)], networks=LOOPBACK)
    outcome = await executor.reconcile(step("http", request("GET", base)))
    assert outcome is not None
    assert outcome.status == "done"


LISTED = [
    place("https://api.example.org/v1/", "GET", "POST"),
    place("https://api.example.org/one", "GET"),
    place("http://127.0.0.1:8080/", "GET"),
]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.org/v1/",
        "https://api.example.org:443/v1/a/b?c=d&e=%20",
        "https://api.example.org/one?x=../..",
        "http://127.0.0.1:8080/",
    ],
)
def test_listed_url_is_taken(make: Make, url: str) -> None:
    """What is listed is taken, so that the refusals below refuse something."""
    make("http", allow=LISTED).check(request("GET", url))


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.org/v1/",
        "https://api.example.org/v1",
        "https://api.example.org/v2/",
        "https://api.example.org/one/two",
        "https://api.example.org/onetwo",
        "https://api.example.org:8443/v1/",
        "https://api.example.org.evil.net/v1/",
        "https://evil.net/https://api.example.org/v1/",
        "https://api.example.org@evil.net/v1/",
        "https://user:pass@api.example.org/v1/",
        "https://api.example.org:443@evil.net/v1/",
        "https://evil.net#@api.example.org/v1/",
        "https://evil.net\\@api.example.org/v1/",
        "https://api.example.org\\.evil.net/v1/",
        "https://api.example.org/v1/#fragment",
        "https://api.example.org/v1/../v2/",
        "https://api.example.org/v1/%2e%2e/v2/",
        "https://api.example.org/v1/.%2E/v2/",
        "https://api.example.org/v1/..;/v2/",
        "https://api.example.org/v1/..%2fv2/",
        "https://api.example.org/v1/%252e%252e/v2/",
        "https://api.example.org/v1/..%5cv2/",
        "https://api.example.org/v1//a",
        "https://api.example.org/v1/%00",
        "https://api.example.org/v1/%0d%0aX:%20y",
        "https://api.example.org/v1/?a=%0d%0aX:%20y",
        "https://api.example.org/v1/ HTTP/1.1\r\nX: y",
        "https://api.example.org/v1/\r\nX: y",
        "https://api.example.org/v1/\n",
        "https://api.example.org/v1/\t",
        "https://api.example.org/v1/%",
        "https://api.example.org/v1/%zz",
        "https://api.example.org/v1/ü",
        "https://api.examplе.org/v1/",
        "https://api。example.org/v1/",
        "https://API.example.org/v1/",
        "https://api.example.org./v1/",
        "HTTPS://api.example.org/v1/",
        "https:api.example.org/v1/",
        "//api.example.org/v1/",
        "file:///etc/passwd",
        "http://2130706433:8080/",
        "http://0x7f000001:8080/",
        "http://0177.0.0.1:8080/",
        "http://127.1:8080/",
        "http://127.0.0.1:08080/",
        "http://127.0.0.1:99999/",
        "http://[::ffff:127.0.0.1]:8080/",
        "http://[0:0:0:0:0:0:0:1]:8080/",
        "http://[::1%25eth0]:8080/",
        "https://api.example.org/v1/" + "a" * 5000,
        "",
    ],
)
def test_url_is_refused(make: Make, url: str) -> None:
    """Nothing beside the list, however it is spelt, and nothing that can be read in two ways."""
    with pytest.raises(BadPayload) as caught:
        make("http", allow=LISTED).check(request("GET", url))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "more",
    [
        {"method": "DELETE"},
        {"method": "get"},
        {"method": "GET\r\nX: y"},
        {"method": "CONNECT"},
        {"headers": {"Authorization": "Bearer x"}},
        {"headers": {"Host": "evil.net"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": {"Content-Length": "0"}},
        {"headers": {"Accept\r\nX": "y"}},
        {"headers": {"Accept:": "y"}},
        {"headers": {"Accept": "y\r\nX: z"}},
        {"headers": {"Accept": "y\nX: z"}},
        {"headers": {"Accept": "\u202ey"}},
        {"headers": {"Accept": ""}},
        {"headers": {"Accept": " y"}},
        {"headers": {"Accept": "y" * 5000}},
        {"headers": {"Accept": "y", "accept": "z"}},
        {"text": "x", "base64": "eA=="},
        {"text": "\ud800"},
        {"base64": "?"},
        {"method": "GET", "text": "x"},
        {"redirects": True},
        {"timeout_seconds": 1e9},
    ],
)
def test_payload_is_refused(make: Make, more: dict[str, Any]) -> None:
    """Listed methods and headers only, each in one line, and one body."""
    whole = {"method": "POST", "url": "https://api.example.org/v1/", **more}
    with pytest.raises(BadPayload) as caught:
        make("http", allow=LISTED).check(json.dumps(whole).encode())
    assert "\n" not in str(caught.value)


async def test_missing_secret_sends_nothing(
    make: Make, step: Steps, web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its secret, or with one that would be two headers, no request is sent."""
    base = f"http://127.0.0.1:{web.port}/"
    one = place(base, "POST", secrets={"X-Key": "$API_TOKEN"})
    executor = make("http", allow=[one], networks=LOOPBACK)
    for value in (None, "a\r\nX: y"):
        if value is None:
            monkeypatch.delenv("API_TOKEN", raising=False)
        else:
            monkeypatch.setenv("API_TOKEN", value)
        outcome = await executor.execute(step("http", request("POST", base)))
        assert outcome.status == "failed"
        assert "API_TOKEN" in outcome.content["reason"]
    assert web.got == []


def test_faults_name_field_and_mend(faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot work here is told in a line each."""
    monkeypatch.delenv("NOT_SET", raising=False)
    assert faults("http", allow=LISTED) == []
    secrets = {"A": "$NOT_SET", "accept": "$PATH", "Host": "$PATH"}
    look = "https://elsewhere.example/{key}"
    found = faults(
        "http",
        allow=[place("https://a.example/", "POST", secrets=secrets, look=look)],
        headers=["Accept", "Content-Length"],
        ca="gone.pem",
    )
    assert [fault.split(": ")[0] for fault in found] == [
        "allow[0].secrets.A",
        "allow[0].secrets.accept",
        "allow[0].secrets.Host",
        "allow[0].look",
        "headers",
        "ca",
    ]
    (fault,) = faults("http", allow=[place("https://a.example/", "POST")], unknown="look")
    assert fault.startswith("unknown: ")


@pytest.mark.parametrize(
    "settings",
    [
        {"allow": []},
        {"allow": [place("https://*.example.org/")]},
        {"allow": [place("https://a.example/{key}")]},
        {"allow": [place("https://user@a.example/")]},
        {"allow": [place("https://a.example/", "CONNECT")]},
        {"allow": [place("https://a.example/", secrets={"X": "hunter2"})]},
        {"allow": LISTED, "networks": ["10.0.0.1/8"]},
        {"allow": LISTED, "networks": ["localhost"]},
        {"allow": LISTED, "headers": ["A: b"]},
    ],
)
def test_settings_are_strict(make: Make, settings: dict[str, Any]) -> None:
    """Patterns, secrets in the file and the like are faults of the project."""
    with pytest.raises(ValueError, match="validation error"):
        make("http", **settings)
