"""A box outlives its runtime, stopped, and the next runtime joins it."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import docker
import pytest
import trio

from monastery.runtime.errors import BoxDied
from monastery.runtime.records import (
    AgentExited,
    BoxLimits,
    BoxSpec,
    ModelRequest,
    ProposalRequest,
    RunId,
    WebRequest,
)
from monastery.sandbox import guestbox, link
from monastery.sandbox.box import DockerSandbox

RUNTIME = """
import sys, trio
from pathlib import Path
from monastery.runtime.records import BoxLimits, BoxSpec, RunId
from monastery.sandbox.box import DockerSandbox

async def live(image, run, home, local, agent, until):
    async with DockerSandbox(home=Path(home), local=local == "local").open(
        RunId(run), BoxSpec(image, BoxLimits(alone_seconds=120.0), gateway=True, web=True)
    ) as box:
        await box.write_file("agent.py", agent.encode())
        await box.start_agent(["python3", "-u", "agent.py"], env={}, history=b"[]")
        if until == "proposal":
            asked = await box.receive()
            print("asked", asked.call, flush=True)
        elif until == "frozen":
            asked = await box.receive()
            await box.freeze()
            print("asked", asked.call, flush=True)
        elif until == "half an answer":
            asked = await box.receive()
            half = b'{"op":"answer","call":%d,"reply":{"ok":{"title":"' % asked.call
            box.link._beats = 0  # a beat would end the line
            await box.link._stream.send_all(half)
            print("asked", asked.call, flush=True)
        else:
            while not (await box.run(["test", "-e", until])).exit_code == 0:
                await trio.sleep(0.01)
            print("there", flush=True)
        await trio.sleep_forever()

trio.run(live, *sys.argv[1:])
"""

COUNTS = """
import itertools, mmap, os
with open("count", "wb+") as file:
    file.write(bytes(4096)); file.flush()
    shared = mmap.mmap(file.fileno(), 4096)
open("ready", "w").close()
for number in itertools.count(1):
    shared[:8] = number.to_bytes(8, "little")
"""
PROPOSES = """
import monastery_box
remembered = "what only this process knows"
print("before")
first = monastery_box.propose("note", b"one" * 50000, "because", {"e": b"vidence"})
print("after", first["status"])
second = monastery_box.propose("note", (remembered + first["status"]).encode(), "because")
"""

ASKS = """
import http.client, os, urllib.parse
url = urllib.parse.urlsplit(os.environ["ANTHROPIC_BASE_URL"])
for number in (1, 2):
    made = http.client.HTTPConnection(url.hostname, url.port)
    made.request("POST", "/v1/messages", '{"number": %d}' % number)
    assert made.getresponse().status == 200
"""

FETCHES = """
from monastery_box import web_get, web_search
assert web_get("first")["text"] == "a page"
assert web_search("second")["results"] == []
"""
PAGE = {
    "url": "first",
    "title": "",
    "type": "text/plain",
    "text": "a page",
    "size": 6,
    "next": None,
}


class World:
    """One run's runtimes, which are killed, and its box, which is not."""

    def __init__(self, image: str, home: Path, *, local: bool = True) -> None:
        self.image, self.home, self.local = image, home, local
        self.run = RunId(f"test-{uuid.uuid4().hex[:12]}")
        self.sandbox = DockerSandbox(home=home, local=local)

    @contextmanager
    def runtime(self, agent: str, until: str):
        """Live in a process of its own, up to a point; it is killed at the end."""
        local = "local" if self.local else "engine"
        place = [self.image, self.run, str(self.home), local]
        argv = [sys.executable, "-c", RUNTIME, *place, agent, until]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
                while said and not said.startswith(("asked", "there")):
                    said = process.stdout.readline()
                assert said, "the runtime ended"
                yield said.split()
            finally:
                process.send_signal(signal.SIGKILL)

    @asynccontextmanager
    async def joined(self) -> AsyncIterator:
        """Join the living box."""
        async with self.sandbox.open(self.run, BoxSpec(self.image, BoxLimits())) as box:
            assert box.facts.work == "live"
            yield box

    async def reaped(self, can_go_on: Callable[[RunId], bool]) -> bool:
        """Reap, and return whether this run's box was among what was removed."""
        client = docker.APIClient(version="auto")
        try:
            mine = {"label": f"monastery.run={self.run}"}
            (found,) = client.containers(all=True, filters=mine)
        finally:
            client.close()
        return found["Id"] in await self.sandbox.reap(can_go_on)

    async def counts_on(self, before: bytes) -> None:
        """Wait until the counting agent has another number."""
        while self.count() == before:  # noqa: ASYNC110 - it is in another process
            await trio.sleep(0.01)

    def count(self) -> bytes:
        """Return what the counting agent has in its file."""
        client = docker.APIClient(version="auto")
        try:
            folder = client.inspect_volume(f"monastery-{self.run}-work")["Mountpoint"]
        finally:
            client.close()
        return (Path(folder) / "count").read_bytes()[:8]


@pytest.fixture(params=["local", "engine"])
def world(request, image, tmp_path) -> Iterator[World]:
    """A run in a home of its own, by either freezer and either way to the files."""
    world = World(image, tmp_path, local=request.param == "local")
    yield world
    trio.run(DockerSandbox().forget, world.run)


@pytest.mark.deadline(120)
@pytest.mark.parametrize("until", ["proposal", "frozen"])
async def test_a_proposal_is_heard_again(world, until):
    """Whole, from the same process, which then goes on as if nothing had been."""
    with world.runtime(PROPOSES, until) as (_, call):
        pass
    assert not await world.reaped(lambda run: True)
    if until == "frozen" and not world.local:
        async with world.sandbox.open(world.run, BoxSpec(world.image)) as box:
            assert box.facts.work == "kept", "an engine does not attach to what it has paused"
        return
    async with world.joined() as box:
        await box.rejoin()
        again = await box.receive()
        assert isinstance(again, ProposalRequest)
        assert again.call == int(call)
        assert again.payload == b"one" * 50000
        assert again.evidence[0].content == b"vidence"
        told = box.take_transcript()
        assert (told.text, told.seen_bytes) == (b"", len("before\n"))
        await box.answer(again.call, {"status": "done", "content": {}, "feedback": None})
        second = await box.receive()
        assert isinstance(second, ProposalRequest)
        assert second.payload == b"what only this process knowsdone"
        await box.answer(second.call, {"status": "done", "content": {}, "feedback": None})
        assert await box.receive() == AgentExited(0)


@pytest.mark.deadline(120)
async def test_a_request_to_the_model_outlives_the_runtime_that_carried_it(world):
    """The call is made again by the next runtime; the client knows of nothing, and has another."""
    with world.runtime(ASKS, "proposal"):  # up to whatever it hears first
        pass
    async with world.joined() as box:
        await box.rejoin()
        for number in (1, 2):
            again = await box.receive()
            assert isinstance(again, ModelRequest)
            assert again.body == {"api": "anthropic.messages", "request": {"number": number}}
            await box.answer(again.call, {"status": 200, "response": {}})
        assert await box.receive() == AgentExited(0)


@pytest.mark.deadline(120)
@pytest.mark.parametrize("until", ["proposal", "half an answer"])
async def test_a_fetch_outlives_the_runtime_that_carried_it(world, until):
    """Open when it died, it is asked again; the agent, which waits, has its page from the next."""
    with world.runtime(FETCHES, until) as (_, call):
        pass
    async with world.joined() as box:
        assert await box.rejoin()
        asked = await box.receive()
        assert isinstance(asked, WebRequest)
        assert (str(asked.call), dict(asked.body)["get"]) == (call, "first")
        await box.answer(asked.call, PAGE)
        asked = await box.receive()
        assert dict(asked.body)["search"] == "second"
        await box.answer(asked.call, {"results": [], "matches": 0, "complete": True})
        assert await box.receive() == AgentExited(0)


@pytest.mark.deadline(120)
async def test_a_box_without_a_runtime_does_not_think(world):
    """Its agent stops by itself, stays stopped, and goes on where it was."""
    with world.runtime(COUNTS, "ready"):
        await world.counts_on(world.count())
    count = b""
    while world.count() != count:  # until it stands still for longer than a silence lasts
        count = world.count()
        await trio.sleep(2 * link._SILENCE_SECONDS)
    async with world.joined() as box:
        assert world.count() == count
        await box.rejoin()
        await world.counts_on(count)
        at = int.from_bytes(world.count(), "little")
        assert at > int.from_bytes(count, "little"), "it began anew"


@pytest.mark.deadline(120)
async def test_an_exit_that_nobody_heard_is_said_again(world):
    """An agent that ended while no runtime listened has still ended."""
    text = "import time; open('ready', 'w').close(); time.sleep(0.5); raise SystemExit(7)"
    with world.runtime(text, "ready"):
        pass
    async with world.joined() as box:
        await box.rejoin()
        assert await box.receive() == AgentExited(7)


@pytest.mark.deadline(120)
async def test_the_jobs_of_the_dead_are_ended(world):
    """What the last runtime had run in the box is no job of ours."""
    with world.runtime("import subprocess; open('ready', 'w').close(); input()", "ready"):
        pass
    async with world.joined() as box:
        await box.rejoin()
        done = await box.run(["sh", "-c", "echo well"])
        assert done.stdout == b"well\n"


@pytest.mark.deadline(120)
async def test_a_guest_that_does_not_answer_is_a_dead_box(world, engine_api, monkeypatch):
    """It cannot be joined for ever: that is said, and the container is removed."""
    with world.runtime(PROPOSES, "proposal"):
        pass
    (found,) = engine_api.containers(filters={"label": f"monastery.run={world.run}"})
    os.kill(engine_api.inspect_container(found["Id"])["State"]["Pid"], signal.SIGSTOP)
    monkeypatch.setattr(guestbox, "_GREET_SECONDS", 1.0)
    with pytest.raises(BoxDied, match="no guest answered"):
        async with world.joined() as box:
            await box.rejoin()
    async with world.sandbox.open(world.run, BoxSpec(world.image)) as box:
        assert box.facts.work == "kept"


@pytest.mark.deadline(120)
async def test_a_box_of_a_run_that_is_over_is_reaped(world, engine_api):
    """Also a frozen one; a home that is gone has no runs to go on with either."""
    with world.runtime(PROPOSES, "frozen"):
        pass
    assert not await world.reaped(lambda run: run == world.run)
    other, world.sandbox = world.sandbox, DockerSandbox(home=world.home / "other")
    assert not await world.reaped(lambda run: False)
    world.sandbox = other
    assert await world.reaped(lambda run: run != world.run)
    assert not engine_api.containers(all=True, filters={"label": f"monastery.run={world.run}"})
    assert world.run not in Path("/proc/self/mounts").read_text()  # noqa: ASYNC240 - one line


@pytest.mark.deadline(120)
async def test_a_guest_left_alone_leaves(image, tmp_path, engine_api):
    """After its time the box ends; its files stay for a box that goes on from its history."""
    world = World(image, tmp_path)
    try:
        text = RUNTIME.replace("alone_seconds=120.0", "alone_seconds=3.0")
        assert text != RUNTIME
        place = [image, world.run, str(tmp_path), "local"]
        argv = [sys.executable, "-c", text, *place, PROPOSES, "proposal"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220
            assert process.stdout is not None
            while not (said := process.stdout.readline()).startswith(b"asked"):
                assert said
            process.kill()
        with trio.fail_after(60):
            mine = {"label": f"monastery.run={world.run}"}
            while engine_api.containers(filters=mine):  # noqa: ASYNC110 - the engine knows
                await trio.sleep(0.1)
        async with world.sandbox.open(world.run, BoxSpec(image)) as box:
            assert box.facts.work == "kept"
            assert b"remembered" in await box.read_file("agent.py")
    finally:
        await world.sandbox.forget(world.run)
