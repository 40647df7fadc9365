"""The model's usual API in a box: HTTP on loopback becomes model calls, and answers come back."""

import json

import pytest

from monastery.runtime.records import (
    AgentExited,
    ModelCancelled,
    ModelRequest,
    ProposalRequest,
)
from monastery.sandbox import wire

TALK = """
import http.client, json, os, socket, sys, threading, time, urllib.parse
url = urllib.parse.urlsplit(os.environ.get("ANTHROPIC_BASE_URL", ""))

def post(path, body, headers={}, connection=None):
    made = connection or http.client.HTTPConnection(url.hostname, url.port)
    data = body if isinstance(body, (bytes, list)) else json.dumps(body).encode()
    made.request("POST", path, data, headers, encode_chunked=isinstance(data, list))
    got = made.getresponse()
    return got.status, dict(got.getheaders()), got.read()

def say(*things):
    print(json.dumps(things), flush=True)
"""

CHAT = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": {"n": 1}}
MESSAGE = {"role": "assistant", "content": "hé", "refusal": None}
CHAT["choices"] = [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]


async def _said(box):
    """Return what the agent printed as JSON lines, once it ended well."""
    assert await box.receive() == AgentExited(0), box.take_transcript().text.decode()
    return [json.loads(line) for line in box.take_transcript().text.splitlines()]


@pytest.mark.parametrize(
    ("path", "api"),
    [
        ("/v1/chat/completions", "openai.chat"),
        ("/v1/responses", "openai.responses"),
        ("/v1/messages?beta=true", "anthropic.messages"),
        ("/v1/messages/count_tokens", "anthropic.count_tokens"),
    ],
)
async def test_a_request_becomes_a_model_call_and_its_answer_a_response(
    sandbox, opened, program, path, api
):
    """Each path is an API; of a request nothing but its body goes on, not even its headers."""
    text = (
        TALK
        + f"""
status, headers, body = post({path!r}, {{"a": "hé"}}, {{"x-secret": "s", "authorization": "k"}})
say(status, json.loads(body))
"""
    )
    async with opened(sandbox, gateway=True) as box:
        await program(box, text)
        assert await box.receive() == ModelRequest(1, {"api": api, "request": {"a": "hé"}})
        await box.answer(1, {"status": 200, "response": {"b": "ü"}})
        assert await _said(box) == [[200, {"b": "ü"}]]


async def test_the_agent_is_told_where_it_is_only_where_there_is_a_model(sandbox, opened, program):
    """The variables that clients read are set, and what the project sets itself wins."""
    text = "import os\nprint(*(n for n in sorted(os.environ) if n[:4] in ('OPEN', 'ANTH')))"
    names = ["ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"]
    async with opened(sandbox) as box:
        await program(box, text)
        await box.receive()
        assert box.take_transcript().text == b"\n"
    async with opened(sandbox, gateway=True) as box:
        await program(box, text + "\nprint(os.environ['OPENAI_API_KEY'])", OPENAI_API_KEY="own")
        await box.receive()
        assert box.take_transcript().text.decode().split() == [*names, "own"]


async def test_a_streaming_client_gets_events(sandbox, opened, program):
    """`stream` stays in the box: the call is whole, its answer is cut into the API's events."""
    text = (
        TALK
        + """
options = {"stream": True, "stream_options": {"include_usage": True}}
status, headers, body = post("/v1/chat/completions", {"model": "m", **options})
say(status, headers["content-type"], body.decode())
"""
    )
    async with opened(sandbox, gateway=True) as box:
        await program(box, text)
        asked = await box.receive()
        assert asked.body == {"api": "openai.chat", "request": {"model": "m"}}
        await box.answer(asked.call, {"status": 200, "response": CHAT})
        ((status, kind, body),) = await _said(box)
        assert (status, kind) == (200, "text/event-stream; charset=utf-8")
        *events, done, end = body.split("\n\n")
        assert (done, end) == ("data: [DONE]", "")
        first, stop, usage = (json.loads(event.removeprefix("data: ")) for event in events)
        assert first["choices"][0]["delta"] == {"role": "assistant", "content": "hé"}
        assert stop["choices"][0]["finish_reason"] == "stop"
        assert (usage["choices"], usage["usage"]) == ([], {"n": 1})


async def test_an_error_from_outside_is_the_clients_error_even_when_it_streams(
    sandbox, opened, program
):
    """The status goes through, and clients are told that trying again is no use."""
    text = (
        TALK
        + """
status, headers, body = post("/v1/messages", {"stream": True})
say(status, headers["x-should-retry"], json.loads(body))
"""
    )
    async with opened(sandbox, gateway=True) as box:
        await program(box, text)
        asked = await box.receive()
        await box.answer(asked.call, {"status": 429, "response": {"error": "enough"}})
        assert await _said(box) == [[429, "false", {"error": "enough"}]]


FAULTS = {
    "no such path": ("post('/v1/files', {})", 404, "nothing is served"),
    "no JSON": ("post('/v1/messages', b'{')", 400, "not acceptable JSON"),
    "no object": ("post('/v1/messages', b'[]')", 400, "must be a JSON object"),
    "NaN": ("post('/v1/messages', b'{\"a\": NaN}')", 400, "not acceptable JSON"),
    "deep": ("post('/v1/messages', b'{\"a\":' + b'['*100000 + b']'*100000 + b'}')", 400, "JSON"),
    "long": ("post('/v1/messages', b'', {'content-length': '99999999'})", 413, "more than"),
    "negative": ("post('/v1/messages', b'', {'content-length': '-1'})", 413, "-1 bytes"),
    "no number": ("post('/v1/messages', b'', {'content-length': 'x'})", 400, "not HTTP/1.1"),
    "long head": ("post('/v1/messages', b'', {'x': 'y' * 70000})", 431, "the head has more"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_is_no_request_is_refused_in_the_box(docker_sandbox, opened, program, fault):
    """In the API's own form, without a word to the runtime; the next request is served."""
    asked, status, why = FAULTS[fault]
    text = (
        TALK
        + f"""
status, _, body = {asked}
say(status, json.loads(body)["error"]["message"])
say(post("/v1/messages", {{}})[0])
"""
    )
    async with opened(docker_sandbox, gateway=True) as box:
        await program(box, text)
        only = await box.receive()
        assert only == ModelRequest(1, {"api": "anthropic.messages", "request": {}})
        await box.answer(1, {"status": 200, "response": {}})
        (found, message), after = await _said(box)
        assert (found, after) == (status, [200])
        assert why in message


async def test_bodies_in_chunks_and_several_requests_on_one_connection(sandbox, opened, program):
    """Both ways to send a body; a connection stays open, as clients' pools expect."""
    text = (
        TALK
        + """
kept = http.client.HTTPConnection(url.hostname, url.port)
chunked = [b'{"a":', b'1}']
say(post("/v1/messages", chunked, {"transfer-encoding": "chunked"}, kept)[0])
local = kept.sock.getsockname()
say(post("/v1/messages", {"a": 1}, {"expect": "100-continue"}, kept)[0])
say(local == kept.sock.getsockname())
"""
    )
    async with opened(sandbox, gateway=True) as box:
        await program(box, text)
        for number in (1, 2):
            asked = await box.receive()
            assert asked.body["request"] == {"a": 1}
            await box.answer(number, {"status": 200, "response": {}})
        assert await _said(box) == [[200], [200], [True]]


async def test_the_models_are_listed_for_both_kinds_of_clients(sandbox, opened, program):
    """By asking outside; one that is not there is not found."""
    text = (
        TALK
        + """
def get(path):
    made = http.client.HTTPConnection(url.hostname, url.port)
    made.request("GET", path)
    got = made.getresponse()
    return got.status, json.loads(got.read())
say(get("/v1/models")[1]["data"][1]["id"], get("/v1/models/a/b")[1]["id"], get("/v1/models/x")[0])
"""
    )
    async with opened(sandbox, gateway=True) as box:
        await program(box, text)
        for number in (1, 2, 3):
            assert (await box.receive()).body == {"api": "models", "request": {}}
            await box.answer(number, {"status": 200, "response": {"models": ["m", "a/b"]}})
        assert await _said(box) == [["a/b", "a/b", 404]]


async def test_those_for_whom_there_is_no_room_wait_in_the_box_and_a_proposal_gets_out(
    sandbox, opened, program
):
    """The guest never has more calls open than it may, nobody is refused, each gets its own."""
    text = (
        TALK
        + """
import monastery_box
def one(number):
    status, _, body = post("/v1/messages", {"n": number})
    assert (status, json.loads(body)) == (200, {"n": number}), (status, body)
threads = [threading.Thread(target=one, args=(number,)) for number in range(150)]
for thread in threads: thread.start()
while not os.path.exists("go"): time.sleep(0.01)
say(monastery_box.propose("k", "p", "r")["status"])
for thread in threads: thread.join()
"""
    )
    async with opened(sandbox, gateway=True) as box:
        await program(box, text)
        held = [await box.receive() for _ in range(wire.MAX_CALLS - 4)]
        await box.write_file("go", b"")
        proposed = await box.receive()
        assert isinstance(proposed, ProposalRequest)
        await box.answer(proposed.call, {"status": "done"})
        seen = []
        while len(seen) < 150:
            asked = held.pop() if held else await box.receive()
            seen.append(asked.body["request"]["n"])
            await box.answer(asked.call, {"status": 200, "response": asked.body["request"]})
        assert await _said(box) == [["done"]]
        assert sorted(seen) == list(range(150))


async def test_who_asks_without_http_too_leaves_the_gateway_waiting(sandbox, opened, program):
    """When others of the box hold all calls, a request waits for room and is not refused."""
    text = (
        TALK
        + f"calls = {wire.MAX_CALLS}"
        + """
import monastery_box
def ask(): monastery_box.model({})
threads = [threading.Thread(target=ask) for number in range(calls)]
for thread in threads: thread.start()
while not os.path.exists("go"): time.sleep(0.01)
say(post("/v1/messages", {})[0])
"""
    )
    async with opened(sandbox, gateway=True) as box:
        await program(box, text)
        held = [await box.receive() for _ in range(wire.MAX_CALLS)]
        await box.write_file("go", b"")
        await box.run(["sleep", "0.5"])  # let it be turned away; if it was not, no harm is done
        for asked in held:
            await box.answer(asked.call, {})
        last = await box.receive()
        await box.answer(last.call, {"status": 200, "response": {}})
        assert await _said(box) == [[200]]


async def test_a_client_that_hangs_up_in_the_queue_is_never_heard_of(sandbox, opened, program):
    """Its turn goes to the next: nobody thinks, and pays, for an answer that nobody awaits."""
    text = (
        TALK
        + f"calls = {wire.MAX_CALLS - 4}"
        + """
import monastery_box
def begin(number):
    made = http.client.HTTPConnection(url.hostname, url.port)
    made.request("POST", "/v1/messages", json.dumps({"n": number}))
    return made
first = [begin(number) for number in range(calls)]
while not os.path.exists("go"): time.sleep(0.01)
begin("gone").close()
for _ in range(3): post("/v1/nothing", {})  # the server has seen all that came before
monastery_box.propose("k", "closed", "r")
for made in first: assert made.getresponse().status == 200
say(begin("last").getresponse().status)
"""
    )
    async with opened(sandbox, gateway=True) as box:
        await program(box, text)
        held = [await box.receive() for _ in range(wire.MAX_CALLS - 4)]
        await box.write_file("go", b"")
        closed = await box.receive()
        assert isinstance(closed, ProposalRequest)
        await box.answer(closed.call, {})
        for asked in held:
            await box.answer(asked.call, {"status": 200, "response": {}})
        asked = await box.receive()
        assert asked.body["request"] == {"n": "last"}
        await box.answer(asked.call, {"status": 200, "response": {}})
        assert await _said(box) == [[200]]


async def test_a_client_that_hangs_up_cancels_its_call(sandbox, opened, program):
    """The runtime hears of it and closes the call; a proposal whose asker is gone stays one."""
    text = (
        TALK
        + """
import monastery_box, signal, subprocess
asks = "import monastery_box as m; m.model({'direct': 1})"
made = http.client.HTTPConnection(url.hostname, url.port)
made.request("POST", "/v1/messages", "{}")
direct = subprocess.Popen([sys.executable, "-c", asks])
while not os.path.exists("go"): time.sleep(0.01)
made.close()
direct.kill()
proposes = "import monastery_box as m; m.propose('k', 'p', 'r')"
proposing = subprocess.Popen([sys.executable, "-c", proposes])
while not os.path.exists("frozen"): time.sleep(0.01)
proposing.kill()
proposing.wait()
say(post("/v1/messages", {})[0])
"""
    )
    async with opened(sandbox, gateway=True) as box:
        await program(box, text)
        calls = {(await box.receive()).call for _ in range(2)}
        await box.write_file("go", b"")
        heard = [await box.receive() for _ in range(3)]
        gone = {one.call for one in heard if isinstance(one, ModelCancelled)}
        assert gone == calls == {1, 2}
        (proposed,) = (one for one in heard if isinstance(one, ProposalRequest))
        for call in calls:
            await box.answer(call, {"error": "nobody waits"})
        await box.write_file("frozen", b"")
        last = await box.receive()
        assert isinstance(last, ModelRequest), "of a proposal nothing is cancelled"
        await box.answer(proposed.call, {"status": "done"})
        await box.answer(last.call, {"status": 200, "response": {}})
        assert await _said(box) == [[200]]


async def test_a_gateway_that_the_agent_kills_is_started_again(docker_sandbox, opened, program):
    """It runs as the agent, which may do so; the socket is the guest's and stays."""
    text = (
        TALK
        + """
import signal
say(post("/v1/messages", {})[0])
for name in os.listdir("/proc"):
    if name.isdigit() and b"gateway.py" in open(f"/proc/{name}/cmdline", "rb").read():
        os.kill(int(name), signal.SIGKILL)
        say("killed")
say(post("/v1/messages", {})[0])
"""
    )
    async with opened(docker_sandbox, gateway=True) as box:
        await program(box, text)
        for number in (1, 2):
            await box.receive()
            await box.answer(number, {"status": 200, "response": {}})
        assert await _said(box) == [[200], ["killed"], [200]]
        left = await box.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"])
        assert b"gateway.py" not in left.stdout  # it goes when the agent goes


async def test_a_request_that_is_open_while_the_box_is_frozen_is_answered_after_the_thaw(
    docker_sandbox, opened, program
):
    """The server stands still with all the others, and goes on."""
    text = TALK + 'say(post("/v1/messages", {})[0])'
    async with opened(docker_sandbox, gateway=True) as box:
        await program(box, text)
        await box.receive()
        await box.freeze()
        await box.answer(1, {"status": 200, "response": {}})
        await box.thaw()
        assert await _said(box) == [[200]]
