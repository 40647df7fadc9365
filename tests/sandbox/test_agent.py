"""The agent's program in a box: what it can say, what it is answered, what it printed."""

import json

import pytest
import trio

from monastery.runtime.errors import BadInput
from monastery.runtime.records import (
    AgentExited,
    Evidence,
    ModelCancelled,
    ModelRequest,
    ProposalRequest,
)
from monastery.sandbox import wire

OUTCOME = {"status": "done", "kind": "k", "step": 1, "content": {"x": [1]}, "feedback": None}


async def test_the_module_proposes_and_calls_the_model(sandbox, opened, program):
    """`monastery_box` hands over exact bytes and returns exact answers."""
    text = """
import monastery_box as m, json
print(json.dumps(m.history()))
print(m.model({"say": "h\\u00e9"})["text"])
print(m.propose("k", b"\\x00\\xff", "why \\u2028", {"a b.txt": b"", "c": b"evidence"})["content"])
"""
    async with opened(sandbox) as box:
        await program(box, text, history=b'[{"index": 1}]')
        asked = await box.receive()
        assert asked == ModelRequest(1, {"say": "hé"})
        await box.answer(1, {"text": "ü\u2028"})
        proposed = await box.receive()
        assert proposed == ProposalRequest(
            2,
            "k",
            b"\x00\xff",
            "why \u2028",
            (Evidence("a b.txt", b""), Evidence("c", b"evidence")),
        )
        printed = box.take_transcript()
        assert printed.text.decode() == '[{"index": 1}]\nü\u2028\n'
        await box.answer(2, OUTCOME)
        assert await box.receive() == AgentExited(0)
        assert box.take_transcript().text == b"{'x': [1]}\n"


@pytest.mark.parametrize(("status", "code"), [("done", 0), ("rejected", 1), ("unknown", 1)])
async def test_the_command_prints_the_outcome_and_exits_by_it(sandbox, opened, status, code):
    """`propose` is on the agent's path, prints one JSON object, and 0 means done."""
    script = "echo payload | propose email --payload - --rationale 'it is time' --evidence e.txt"
    async with opened(sandbox) as box:
        await box.write_file("e.txt", b"proof")
        await box.start_agent(["sh", "-c", script], env={}, history=b"[]")
        asked = await box.receive()
        assert (asked.kind, asked.payload, asked.rationale) == ("email", b"payload\n", "it is time")
        assert asked.evidence == (Evidence("e.txt", b"proof"),)
        await box.answer(asked.call, {**OUTCOME, "status": status})
        assert await box.receive() == AgentExited(code)
        assert json.loads(box.take_transcript().text) == {**OUTCOME, "status": status}


async def test_the_command_hands_over_files(sandbox, opened):
    """`propose file PATH…` makes the payload itself."""
    async with opened(sandbox) as box:
        await box.write_file("out/a.bin", b"\x00\x01")
        argv = ["propose", "file", "out/a.bin", "--rationale", "r"]
        await box.start_agent(argv, env={}, history=b"[]")
        asked = await box.receive()
        assert json.loads(asked.payload) == {"files": {"out/a.bin": {"base64": "AAE="}}}


USAGE = {
    "no payload": ("propose k --rationale r", b"give either"),
    "no such file": ("propose k --payload no --rationale r", b"No such file"),
    "too large": ("propose k --payload big --rationale r", b"payload has 3000 bytes, more than"),
    "evidence": ("propose k --payload ok --rationale r --evidence big", b"evidence has 3000 bytes"),
}


@pytest.mark.parametrize("fault", USAGE)
async def test_a_wrong_proposal_is_refused_in_one_line(sandbox, opened, fault):
    """Exit code 2 and why; the runtime is not bothered."""
    command, why = USAGE[fault]
    async with opened(sandbox, payload_bytes=2000) as box:
        await box.write_file("big", bytes(3000))
        await box.write_file("ok", b"fine")
        result = await box.run(["sh", "-c", command])
        assert result.exit_code == 2
        assert why in result.stderr.splitlines()[-1]


async def test_the_command_explains_itself(sandbox, opened):
    """`propose --help` shows an example."""
    async with opened(sandbox) as box:
        result = await box.run(["propose", "--help"])
        assert result.exit_code == 0
        assert b"propose email --payload mail.json" in result.stdout


async def test_a_second_proposal_is_refused_while_one_is_open(sandbox, opened, program):
    """One proposal at a time; when its outcome came, the next is taken."""
    text = """
import monastery_box as m, threading
first = threading.Thread(target=lambda: print(m.propose("k", "1", "r")["status"]))
first.start()
import os
while not os.path.exists("go"): pass
try: m.propose("k", "2", "r")
except m.Refused as error: print(error)
m.model({})
first.join()
print(m.propose("k", "3", "r")["status"])
"""
    async with opened(sandbox) as box:
        await program(box, text)
        first = await box.receive()
        await box.write_file("go", b"")
        model = await box.receive()
        assert isinstance(model, ModelRequest)
        assert b"a proposal is open already" in box.take_transcript().text
        await box.answer(first.call, OUTCOME)
        await box.answer(model.call, {})
        third = await box.receive()
        assert third.payload == b"3"


async def test_an_answer_waits_for_the_thaw(sandbox, opened, program):
    """A large answer to a frozen box does not block; the agent gets it when it runs again."""
    text = "import monastery_box as m\nprint(len(m.model({})['x']))"
    async with opened(sandbox) as box:
        await program(box, text)
        asked = await box.receive()
        await box.freeze()
        with trio.fail_after(120):
            await box.answer(asked.call, {"x": "y" * 3_000_000})
        await box.thaw()
        assert await box.receive() == AgentExited(0)
        assert box.take_transcript().text == b"3000000\n"


async def test_a_large_call_arrives_whole(sandbox, opened, program):
    """A payload of 4 MB goes through in parts."""
    text = "import monastery_box as m, random\nm.propose('k', bytes(range(256)) * 16384, 'r')"
    async with opened(sandbox) as box:
        await program(box, text)
        assert (await box.receive()).payload == bytes(range(256)) * 16384


async def test_a_dead_asker_is_no_error(sandbox, opened, program):
    """A killed process's call is cancelled and its answer goes nowhere; the next call works."""
    text = """
import subprocess, monastery_box as m
child = subprocess.Popen(["python3", "-c", "import monastery_box as m; m.model({'child': 1})"])
m.model({"ready": 1})
child.kill(); child.wait()
m.model({"after": 1})
"""
    async with opened(sandbox) as box:
        await program(box, text)
        calls = [await box.receive(), await box.receive()]
        bodies = {next(iter(call.body)): call.call for call in calls}
        await box.answer(bodies["ready"], {})
        told = [await box.receive(), await box.receive()]
        assert ModelCancelled(bodies["child"]) in told
        assert {"after": 1} in [one.body for one in told if isinstance(one, ModelRequest)]
        await box.answer(bodies["child"], {})
        await box.answer(999, {})
        assert (await box.run(["true"])).exit_code == 0


async def test_nonsense_from_the_agent_is_answered_and_ends_nothing(sandbox, opened, program):
    """What an agent writes on our socket by hand can only fail for that agent."""
    text = """
import os, socket, json
def ask(data):
    s = socket.socket(socket.AF_UNIX); s.connect(os.environ["MONASTERY_SOCKET"])
    try: s.sendall(data)
    except OSError: pass
    s.shutdown(socket.SHUT_WR) if data.endswith(b"!") else None
    return s.recv(4096)
def head(**h): return json.dumps(h).encode() + b"\\n"
print(ask(b"not json\\n"))
print(ask(b"[" * 100000 + b"\\n"))
print(ask(b"x" * 300000))
print(ask(head(what="other", sizes=[1])))
print(ask(head(what="model", sizes=[-1])))
print(ask(head(what="model", sizes=[1 << 40])))
print(ask(head(what="model", sizes=[3]) + b"NaN"))
print(ask(head(what="model", sizes=[13]) + b'{"a":1,"a":2}'))
print(ask(head(what="model", sizes=[2], extra=1) + b"{}"))
print(ask(head(what="propose", sizes=[1, 1], names=[], kind="k", rationale="r") + b"ab"))
print(ask(head(what="propose", sizes=[9], names=[], kind="k", rationale="r") + b"ab!"))
print(ask(head(what="propose", sizes=[1], names=[], kind=7, rationale="r") + b"a"))
"""
    async with opened(sandbox) as box:
        await program(box, text)
        assert await box.receive() == AgentExited(0)
        answers = box.take_transcript().text.splitlines()
        assert len(answers) == 12
        assert all(b"error" in answer or answer == b"b''" for answer in answers), answers
        assert (await box.run(["true"])).exit_code == 0


async def test_too_many_calls_at_once_are_refused(sandbox, opened, program):
    """A box may have so many calls open; more are refused in the box, and the box lives."""
    text = f"""
import threading, monastery_box as m
def call():
    try: m.model(dict())
    except m.Refused as error: print("refused", error)
threads = [threading.Thread(target=call) for _ in range({wire.MAX_CALLS + 4})]
for t in threads: t.start()
for t in threads: t.join()
"""
    async with opened(sandbox) as box:
        await program(box, text)
        calls = [await box.receive() for _ in range(wire.MAX_CALLS)]
        for call in calls:
            await box.answer(call.call, {})
        said = await box.receive()
        while not isinstance(said, AgentExited):
            await box.answer(said.call, {})
            said = await box.receive()
        assert said == AgentExited(0)


async def test_calls_that_are_too_long_together_are_refused(sandbox, opened, program):
    """Sixteen of the longest find room; one more is refused in the box, and a proposal is not."""
    text = f"""
import threading, monastery_box as m
long = dict(a="x" * ({wire.MODEL_BYTES} - 20))
def call():
    try: m.model(long)
    except m.Refused as error: print("refused", error)
threads = [threading.Thread(target=call) for _ in range(17)]
for t in threads: t.start()
print(m.propose("k", "p" * 1000, "r")["status"])
for t in threads: t.join()
"""
    async with opened(sandbox) as box:
        await program(box, text)
        asked = [await box.receive() for _ in range(17)]
        for one in asked:
            await box.answer(one.call, {"status": "done"})
        assert await box.receive() == AgentExited(0)
        refused, done = sorted(box.take_transcript().text.splitlines(), reverse=True)
        assert refused.startswith(b"refused calls of ")
        assert done == b"done"


async def test_a_transcript_keeps_the_beginning_and_the_end(sandbox, opened, program):
    """50 MB of thoughts are cut to the limit, counted, and forgotten once taken."""
    text = "print('begin')\nfor _ in range(500): print('x' * 99999)\nprint('end')"
    async with opened(sandbox, transcript_bytes=10_000) as box:
        await program(box, text)
        assert await box.receive() == AgentExited(0)
        taken = box.take_transcript()
        assert len(taken.text) == 10_000
        assert taken.seen_bytes == 6 + 500 * 100_000 + 4
        assert taken.text.startswith(b"begin\nx")
        assert taken.text.endswith(b"x\nend\n")
        assert box.take_transcript().seen_bytes == 0


async def test_an_agent_that_does_not_exist_is_bad_input(sandbox, opened):
    """Its name is in the message."""
    async with opened(sandbox) as box:
        with pytest.raises(BadInput, match="no-such-agent"):
            await box.start_agent(["no-such-agent"], env={}, history=b"[]")


async def test_a_fork_has_nobody_to_ask(sandbox, opened):
    """In a copy there are no proposals and no model calls."""
    async with opened(sandbox) as box:
        await box.freeze()
        async with box.fork() as fork:
            result = await fork.run(["sh", "-c", "echo | propose k --payload - --rationale r"])
            assert result.exit_code == 2
            assert b"no runtime to ask" in result.stderr
