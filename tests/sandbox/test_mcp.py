"""The MCP server in a box, spoken to line by line: versions, tools, errors, waits."""

import json
import shutil

import pytest

from monastery.runtime.records import AgentExited, ProposalRequest, WebRequest

TALK = """
import json, subprocess, sys, threading
# As clients start their servers: with a path and next to nothing else.
import os
env = {"PATH": os.environ["PATH"]}
server = subprocess.Popen(["monastery-mcp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env)

def send(*messages):
    for one in messages:
        line = one if isinstance(one, str) else json.dumps(one)
        server.stdin.write(line.encode() + b"\\n")
    server.stdin.flush()

def hear():
    got = json.loads(server.stdout.readline())
    print(json.dumps(got), flush=True)
    return got

def ask(method, params=None, id=1):
    more = {} if params is None else {"params": params}
    send({"jsonrpc": "2.0", "id": id, "method": method, **more})
    return hear()

def begin(version):
    got = ask("initialize", {"protocolVersion": version, "capabilities": {},
                             "clientInfo": {"name": "t", "version": "1"}})
    send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    return got

META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {}}
def now(**params): return {"_meta": META, **params}
call = {"name": "propose_step",
        "arguments": {"kind": "note", "rationale": "r", "payload": "p"}}
"""
OUTCOME = {"status": "done", "kind": "note", "step": 1, "content": {"a": 1}, "feedback": None}


async def _written(box, file: str) -> None:
    """Wait until the program wrote a file."""
    while (await box.run(["test", "-e", file])).exit_code:
        pass


async def _heard(box):
    """Return what the server said, once the client ended well."""
    assert await box.receive() == AgentExited(0), box.take_transcript().text.decode()
    return [json.loads(line) for line in box.take_transcript().text.splitlines()]


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [(v, v) for v in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")]
    + [("2031-01-01", "2025-11-25"), ("2026-07-28", "2025-11-25")],
)
async def test_a_client_with_a_handshake_agrees_on_a_version(
    sandbox, opened, program, asked, agreed
):
    """Its own, or the newest that has a handshake; tools have the fields of that version only."""
    text = TALK + f"begin({asked!r}); ask('ping'); ask('tools/list')"
    async with opened(sandbox, steps=("note", "ask")) as box:
        await program(box, text)
        began, pong, listed = await _heard(box)
        assert began["result"]["protocolVersion"] == agreed
        assert began["result"]["capabilities"] == {"tools": {}}
        assert pong == {"jsonrpc": "2.0", "id": 1, "result": {}}
        (step, ask) = listed["result"]["tools"]
        assert (step["name"], ask["name"]) == ("propose_step", "ask")
        assert ("annotations" in step) == (agreed >= "2025-03-26")
        assert ("outputSchema" in step) == ("title" in step) == (agreed >= "2025-06-18")
        assert "ttlMs" not in listed["result"]


async def test_a_client_without_a_handshake_names_its_version_in_each_request(
    sandbox, opened, program
):
    """Each is answered by itself; one of an unknown version is told which there are."""
    text = TALK + (
        "ask('server/discover', now()); ask('tools/list', now()); ask('ping', now())\n"
        "META['io.modelcontextprotocol/protocolVersion'] = '2030-01-01'\n"
        "ask('tools/list', now())\n"
        "ask('tools/list', {'_meta': {'io.modelcontextprotocol/protocolVersion': '2026-07-28'}})\n"
        "ask('tools/list')\n"
    )
    async with opened(sandbox, web=True) as box:
        await program(box, text)
        found, listed, ping, unknown, bare, none = await _heard(box)
        assert found["result"]["supportedVersions"] == ["2026-07-28"]
        for one in (found, listed):
            assert one["result"]["resultType"] == "complete"
            assert one["result"]["cacheScope"] == "private"
            assert one["result"]["ttlMs"] > 0
        names = [tool["name"] for tool in listed["result"]["tools"]]
        assert names == ["propose_step", "ask", "web_search", "web_get"]
        assert ping["error"]["code"] == -32601
        data = {"supported": ["2026-07-28"], "requested": "2030-01-01"}
        assert (unknown["error"]["code"], unknown["error"]["data"]) == (-32022, data)
        assert bare["error"]["code"] == -32602
        assert none["error"]["code"] == -32600


@pytest.mark.parametrize("version", ["2024-11-05", "2026-07-28"])
async def test_a_step_is_proposed_and_its_outcome_told(sandbox, opened, program, version):
    """The exact payload, rationale and evidence go out; what came of it comes back as it is."""
    begun = "" if version == "2026-07-28" else f"begin({version!r}); META.clear()"
    arguments = {"kind": "note", "rationale": "because", "payload": "hé", "evidence": ["agent.py"]}
    text = f"{TALK}{begun}\nask('tools/list', now())\n"
    text += f"ask('tools/call', now(name='propose_step', arguments={arguments!r}))"
    async with opened(sandbox, steps=("note",)) as box:
        await program(box, text)
        asked = await box.receive()
        assert isinstance(asked, ProposalRequest)
        assert (asked.kind, asked.payload, asked.rationale) == ("note", "hé".encode(), "because")
        assert [(e.name, e.content) for e in asked.evidence] == [("agent.py", text.encode())]
        await box.answer(asked.call, OUTCOME)
        *_, listed, told = await _heard(box)
        names = [tool["name"] for tool in listed["result"]["tools"]]
        assert names == ["propose_step"], "what the project has not is not offered"
        told_of = listed["result"]["tools"][0]["description"]
        assert told_of.endswith("What each kind takes:\n- note: what note takes")
        result = told["result"]
        assert json.loads(result["content"][0]["text"]) == OUTCOME
        assert result["isError"] is False
        assert result.get("structuredContent") == (OUTCOME if version == "2026-07-28" else None)


async def test_a_question_files_and_pages(docker_sandbox, opened, program):
    """`ask` proposes a question, `files` hand over files, `web_get` gives a page's text."""
    text = TALK + (
        "ask('tools/call', now(name='ask', arguments={'question': 'May I?'}))\n"
        "open('a.txt', 'w').write('x')\n"
        "more = {'kind': 'file', 'rationale': 'r', 'files': ['a.txt']}\n"
        "ask('tools/call', now(name='propose_step', arguments=more))\n"
        "page = {'url': 'a', 'offset': 3, 'limit': 7, 'links': True}\n"
        "ask('tools/call', now(name='web_get', arguments=page))\n"
        "ask('tools/call', now(name='web_search', arguments={'words': 'a'}))\n"
    )
    async with opened(docker_sandbox, web=True) as box:
        await program(box, text)
        asked = await box.receive()
        assert (asked.kind, asked.payload) == ("ask", b"May I?")
        await box.answer(asked.call, OUTCOME)
        asked = await box.receive()
        assert json.loads(asked.payload) == {"files": {"a.txt": {"base64": "eA=="}}}
        await box.answer(asked.call, OUTCOME)
        asked = await box.receive()
        assert isinstance(asked, WebRequest)
        assert asked.body == {"get": "a", "raw": False, "links": True, "offset": 3, "limit": 7}
        await box.answer(asked.call, {"text": "a page", "next": None})
        asked = await box.receive()
        await box.answer(asked.call, {"error": {"type": "web_failed", "message": "it broke"}})
        *_, page, failed = await _heard(box)
        assert page["result"]["content"] == [{"type": "text", "text": "a page"}]
        assert failed["result"]["isError"] is True


FAULTS = [
    ("send('{'); hear()", -32700),
    ("send('[]'); hear()", -32600),
    ("send('7'); hear()", -32600),
    ("send({'id': 1, 'method': 'ping'}); hear()", -32600),
    ("send({'jsonrpc': '2.0', 'id': None, 'method': 'ping'}); hear()", -32600),
    ("send({'jsonrpc': '2.0', 'id': True, 'method': 'ping'}); hear()", -32600),
    ("ask('ping', [1])", -32602),
    ("ask('tools/list', {'_meta': 7})", -32602),
    ("ask('tools/list', now(cursor='x'))", -32602),
    ("ask('tools/call', now(name='rm'))", -32602),
    ("ask('tools/call', now(name=['ask']))", -32602),
    ("ask('tools/call', now(name='ask', arguments=[]))", -32602),
    ("ask('tools/call', now(name='web_get', arguments={'url': 'a'}))", -32602),
    ("ask('resources/list', now())", -32601),
    ("ask('initialize', {})", -32602),
    ("send('[' * 100000); hear()", -32700),
]


async def test_what_is_wrong_with_a_request_is_told_by_its_code(docker_sandbox, opened, program):
    """And the next one is answered; nothing is said to notifications and to responses."""
    text = TALK + "\n".join(fault for fault, _ in FAULTS) + (
        "\nsend({'jsonrpc': '2.0', 'method': 'notifications/other'}, "
        "{'jsonrpc': '2.0', 'id': 9, 'result': {}})\nask('ping')"
    )  # fmt: skip
    async with opened(docker_sandbox) as box:
        await program(box, text)
        *heard, pong = await _heard(box)
        assert [one["error"]["code"] for one in heard] == [code for _, code in FAULTS]
        assert pong["result"] == {}


WRONG = [
    ({"kind": "note"}, "rationale is missing"),
    ({"kind": "note", "rationale": "r"}, "give one of payload"),
    ({"kind": "note", "rationale": "r", "payload": "p", "files": ["a"]}, "give one of payload"),
    ({"kind": "note", "rationale": "r", "files": ["a"]}, "only a step of kind `file`"),
    ({"kind": "note", "rationale": "r", "payload_file": "/no"}, "No such file"),
    ({"kind": "note", "rationale": "r", "payload": 7}, "payload must be string"),
    ({"kind": "note", "rationale": "r", "files": [7]}, "files must be a list of strings"),
    ({"kind": "note", "rationale": "r", "payload": "p", "x": 1}, "'x' is no argument"),
    ({"kind": "k" * 300, "rationale": "r", "payload": "p"}, "longer than 255"),
]


async def test_what_is_wrong_with_a_tools_arguments_the_model_is_told(
    docker_sandbox, opened, program
):
    """As a result that it can read and mend, not as an error of the protocol."""
    calls = [f"ask('tools/call', now(name='propose_step', arguments={one!r}))" for one, _ in WRONG]
    async with opened(docker_sandbox) as box:
        await program(box, TALK + "\n".join(calls))
        for told, (_, why) in zip(await _heard(box), WRONG, strict=True):
            assert told["result"]["isError"] is True
            assert why in told["result"]["content"][0]["text"]


async def test_while_a_step_waits_others_are_answered_and_progress_is_told(
    sandbox, opened, program
):
    """A client that asks for progress knows that it is not forgotten."""
    text = TALK + (
        "META['progressToken'] = 'p'\n"
        "send({'jsonrpc': '2.0', 'id': 'a', 'method': 'tools/call', 'params': now(**call)})\n"
        "send({'jsonrpc': '2.0', 'id': 1, 'method': 'ping', 'params': {}})\n"
        "while hear().get('id') != 1: pass\n"
        "hear()  # of the progress: nothing else is under way\n"
        "open('told', 'w').close()\n"
        "while hear().get('id') != 'a': pass\n"
    )
    async with opened(sandbox) as box:
        await program(box, text)
        asked = await box.receive()
        await _written(box, "told")
        await box.answer(asked.call, OUTCOME)
        *heard, done = await _heard(box)
        (pong,) = [one for one in heard if "id" in one]
        assert pong["result"] == {}
        progress = [one["params"] for one in heard if "id" not in one]
        assert [one["progress"] for one in progress] == [*range(1, len(progress) + 1)]
        assert {one["progressToken"] for one in progress} == {"p"}
        assert (done["id"], done["result"]["structuredContent"]) == ("a", OUTCOME)


async def test_an_outcome_that_nobody_waited_for_is_told_with_the_next(sandbox, opened, program):
    """A client that gave up hears nothing of that call; the step was taken, and is not lost."""
    text = TALK + (
        "send({'jsonrpc': '2.0', 'id': 1, 'method': 'tools/call', 'params': now(**call)})\n"
        "gone = {'method': 'notifications/cancelled', 'params': {'requestId': 1}}\n"
        "send(dict(gone, jsonrpc='2.0'))\n"
        "ask('ping', id=2); open('gone', 'w').close()\n"
        "while 'did not wait' not in str(ask('tools/call', now(**call), id=3)): pass\n"
        "ask('tools/call', now(**call), id=4)\n"
    )
    async with opened(sandbox) as box:
        await program(box, text)
        step = 0
        while isinstance(asked := await box.receive(), ProposalRequest):
            await _written(box, "gone")
            step += 1
            await box.answer(asked.call, {**OUTCOME, "step": step})
        *_, both, last = map(json.loads, box.take_transcript().text.splitlines())
        own, other = both["result"]["content"]
        assert json.loads(own["text"])["step"] == step - 1 > 1
        assert other["text"].startswith("A step that you did not wait for ended so: ")
        assert '"step": 1' in other["text"]
        assert len(last["result"]["content"]) == 1, "it is told once"


async def test_only_the_call_that_is_named_is_given_up(docker_sandbox, opened, program):
    """1 and "1" are two calls; what is not open cannot be given up beforehand."""
    text = TALK + (
        "def cancel(id):\n"
        "    gone = {'method': 'notifications/cancelled', 'params': {'requestId': id}}\n"
        "    send(dict(gone, jsonrpc='2.0'))\n"
        "cancel(1)\n"
        "send({'jsonrpc': '2.0', 'id': 1, 'method': 'tools/call', 'params': now(**call)})\n"
        "cancel('1'); ask('ping', id=2); open('gone', 'w').close(); hear()\n"
    )
    async with opened(docker_sandbox) as box:
        await program(box, text)
        asked = await box.receive()
        await _written(box, "gone")
        await box.answer(asked.call, OUTCOME)
        pong, told = await _heard(box)
        assert (pong["id"], told["id"]) == (2, 1)
        assert told["result"]["structuredContent"] == OUTCOME


async def test_a_batch_is_answered_in_the_one_version_that_has_them(
    docker_sandbox, opened, program
):
    """And refused in the others."""
    both = "[{'jsonrpc': '2.0', 'id': n, 'method': 'ping'} for n in (1, 2)]"
    text = (
        TALK
        + f"begin('2025-03-26'); send({both}); hear(); begin('2025-06-18'); send({both}); hear()"
    )
    async with opened(docker_sandbox) as box:
        await program(box, text)
        _, batch, _, refused = await _heard(box)
        assert [one["id"] for one in batch] == [1, 2]
        assert refused["error"]["code"] == -32600


def test_the_test_itself_has_no_server_at_hand() -> None:
    """What answers above is the box's."""
    assert shutil.which("monastery-mcp") is None
