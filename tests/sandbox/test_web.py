"""The cached web in a box: a command, a module and HTTP on loopback; all ask the runtime."""

import json

import pytest

from monastery.runtime.records import AgentExited, WebRequest

TALK = """
import http.client, json, os, subprocess, sys, urllib.parse
url = urllib.parse.urlsplit(os.environ.get("MONASTERY_WEB", ""))

def get(path):
    made = http.client.HTTPConnection(url.hostname, url.port)
    made.request("GET", url.path + path)
    got = made.getresponse()
    say(got.status, json.loads(got.read()))

def run(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    say(done.returncode, done.stdout, done.stderr)

def say(*things):
    print(json.dumps(things), flush=True)
"""
PAGE = {"url": "a", "title": "A", "type": "text/html", "text": "hé", "size": 2, "next": None}
RESULT = {"url": "a", "title": "A", "excerpt": "hé"}
FOUND = {"results": [RESULT], "matches": 1, "how": "full text", "complete": True}


async def _answered(box, *answers):
    """Answer what the box asks, in order; return what it asked and what its agent said."""
    asked = []
    for answer in answers:
        said = await box.receive()
        assert isinstance(said, WebRequest), said
        asked.append(dict(said.body))
        await box.answer(said.call, answer)
    assert await box.receive() == AgentExited(0), box.take_transcript().text.decode()
    return asked, [json.loads(line) for line in box.take_transcript().text.splitlines()]


async def test_the_web_command_searches_and_reads(sandbox, opened, program):
    """Results and pages go to stdout, what is to be said about them to stderr."""
    text = TALK + 'run("web", "search", "two", "words", "--limit", "3"); run("web", "get", "a")'
    async with opened(sandbox, web=True) as box:
        await program(box, text)
        asked, said = await _answered(box, FOUND, {**PAGE, "next": 2, "size": 9})
        assert asked[0] == {"search": "two words", "limit": 3}
        assert asked[1] == {"get": "a", "raw": False, "links": False, "offset": 0}
        assert said[0] == [0, "a\n  A\n  hé\n\n", "1 found in full text\n"]
        assert said[1] == [
            0, "hé\n", "web: this is up to 2 of 9 characters; --offset 2 goes on\n"
        ]  # fmt: skip


async def test_a_raw_page_is_written_to_its_end(sandbox, opened, program):
    """In as many fetches as it takes, byte for byte."""
    text = TALK + 'run("sh", "-c", "web get --raw a | od -An -tx1")'
    parts = [{**PAGE, "base64": "AP8=", "next": 2}, {**PAGE, "base64": "Cg==", "next": None}]
    async with opened(sandbox, web=True) as box:
        await program(box, text)
        asked, said = await _answered(box, *parts)
        assert [one["offset"] for one in asked] == [0, 2]
        assert said == [[0, " 00 ff 0a\n", ""]]


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        ("not_found", 1, 404),
        ("not_text", 1, 415),
        ("budget_exhausted", 2, 429),
        ("web_failed", 2, 502),
    ],
)
async def test_what_is_not_there_is_said(docker_sandbox, opened, program, kind, code, status):
    """By exit code and by status, with the reason."""
    error = {"error": {"type": kind, "message": "no such thing"}}
    text = TALK + 'run("web", "get", "a"); run("web", "search", "a"); get("/get?url=a")'
    async with opened(docker_sandbox, web=True) as box:
        await program(box, text)
        _, said = await _answered(box, error, error, error)
        assert said == [[code, "", "web: no such thing\n"]] * 2 + [[status, error]]


async def test_it_is_served_on_loopback(sandbox, opened, program):
    """The same answers as JSON; what is no request is refused in the box."""
    text = (
        TALK
        + """
get("/search?q=two+words&limit=3")
get("/get?url=a%20b&raw=1&offset=7&links=0")
for wrong in ("/get", "/get?url=a&limit=x", "/get?url=a&file=/etc/passwd", "/other?url=a"):
    get(wrong)
"""
    )
    async with opened(sandbox, web=True) as box:
        await program(box, text)
        asked, said = await _answered(box, FOUND, PAGE)
        assert asked[0] == {"search": "two words", "limit": 3}
        assert asked[1] == {"get": "a b", "raw": True, "offset": 7, "links": False}
        assert said[:2] == [[200, FOUND], [200, PAGE]]
        assert [status for status, _ in said[2:]] == [400] * 4


async def test_only_what_the_project_has_is_there(sandbox, opened, program):
    """No command and no address without a cached web; no model's address without a model."""
    text = TALK + (
        "import shutil\n"
        "mine = ('OPEN', 'ANTH', 'MONASTERY_WEB')\n"
        "names = sorted(n for n in os.environ if n.startswith(mine))\n"
        "say(names, bool(shutil.which('web')))\n"
        "import monastery_box\n"
        "try: monastery_box.web_get('a')\n"
        "except monastery_box.Refused as error: say(str(error))\n"
    )
    async with opened(sandbox, gateway=False, web=False) as box:
        await program(box, text)
        _, said = await _answered(box)
        assert said == [[[], False], ["this project has no cached web"]]
    async with opened(sandbox, gateway=False, web=True) as box:
        await program(box, text)
        _, said = await _answered(box, PAGE)
        assert said == [[["MONASTERY_WEB"], True]]


async def test_a_fetch_that_is_too_long_is_refused_in_the_box(docker_sandbox, opened, program):
    """The runtime hears nothing of it."""
    text = TALK + 'run("web", "get", "x" * 20000)'
    async with opened(docker_sandbox, web=True) as box:
        await program(box, text)
        _, ((code, _, why),) = await _answered(box)
        assert code == 2
        assert "more than 16384" in why
