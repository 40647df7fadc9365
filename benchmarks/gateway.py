"""What the gateway adds to a model call: the same client in a box, and straight at the server.

    python benchmarks/gateway.py [--calls 640] [--repeat 3] [--json]

A real HTTP server on this machine answers at once, or after half a second, as models do. The same
few lines of client, in threads of a Python that the box has too, call it straight, and from the box
of a real run: HTTP in the box, the guest's stream, the wall, the policy's HTTP to the server, the
record in a journal on disk. Straight and boxed take turns, and medians are over all of it. Compare
the columns of one run: machines are noisy.

added           what a call takes longer from the box, at the median
processor time  of a call in each process, starts left out; unlike the clock it means the same on a
                machine that others use
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import structlog
import trio

from monastery.policies.provider import ProviderPolicy
from monastery.runtime.executors import KINDS, Context
from monastery.runtime.journal import Record
from monastery.runtime.ports import Desk
from monastery.runtime.project import OpenAIPolicySettings
from monastery.runtime.project_file import parse
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.box import DockerSandbox

PARALLEL = (1, 8, 64)
SLOW_SECONDS = 0.5
SLOW_ROUNDS = 4
PROJECT = """
name: gateway
goal: Measure what the gateway adds.
agent: {{command: [python3, client.py, boxed, "{calls}"]}}
box: {{files: [{{from: client.py, to: client.py}}]}}
policy: {{openai: "{url}/v1", models: [m]}}
steps: {{plan: {{audit: never}}}}
audit: {{rate: never}}
"""
CLIENT = """
import http.client, json, os, sys, threading, time, urllib.parse
boxed = sys.argv[1] == "boxed"
url = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"] if boxed else sys.argv[1])
base, calls = url.path.rstrip("/"), int(sys.argv[2])
body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 2000}]})

def work(count, seconds, ready):
    made = http.client.HTTPConnection(url.hostname, url.port)
    made.connect()
    ready.wait()
    for _ in range(count):
        began = time.perf_counter()
        made.request("POST", base + "/chat/completions", body, {"content-type": "application/json"})
        got = made.getresponse()
        got.read()
        assert got.status == 200, got.status
        seconds.append(time.perf_counter() - began)

def processor():
    names = {"gateway.py": "gateway", "client.py": "client"}
    used = {}
    for pid in filter(str.isdigit, os.listdir("/proc")) if boxed else ():
        try:
            words = open("/proc/" + pid + "/cmdline").read()
            stat = open("/proc/" + pid + "/stat").read().rpartition(")")[2].split()
        except OSError:
            continue
        name = "guest" if pid == "1" else next((names[n] for n in names if n in words), "")
        used[name] = used.get(name, 0) + (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return used

work(3, [], threading.Barrier(1))
told, before = {}, processor()
for parallel in (1, 8, 64):
    seconds, each = [], calls if calls < 10 else max(2, calls // parallel)
    ready = threading.Barrier(parallel + 1)
    threads = [threading.Thread(target=work, args=(each, seconds, ready)) for _ in range(parallel)]
    for thread in threads: thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads: thread.join()
    assert len(seconds) == each * parallel
    told[parallel] = seconds, time.perf_counter() - began
after = processor()
told = json.dumps([told, {name: after[name] - before[name] for name in after if name}])
if boxed:
    import monastery_box
    monastery_box.propose("plan", told, "what was measured")
else:
    print(told)
"""


class Server(asyncio.Protocol):
    """One connection to a model that says the same to all; a path with `slow` in it waits."""

    body = json.dumps(
        {
            "id": "chat_1",
            "object": "chat.completion",
            "created": 1,
            "model": "m",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "heard", "refusal": None},
                    "finish_reason": "stop",
                    "logprobs": None,
                }
            ],
            "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
        }
    ).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    said = head % len(body) + body

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.inbox = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer each request that is whole; these clients send one at a time."""
        self.inbox += data
        head, end, rest = self.inbox.partition(b"\r\n\r\n")
        if not end:
            return
        size = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(rest) < size:
            return
        self.inbox = rest[size:]
        if b"/slow" in head:
            loop = asyncio.get_running_loop()
            loop.call_later(SLOW_SECONDS, self.transport.write, self.said)
        else:
            self.transport.write(self.said)


async def serve() -> None:
    """Serve until stdin ends; say first where."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, backlog=256)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


def straight(folder: Path, url: str, calls: int) -> Any:
    """Return what the client measured on the host."""
    (folder / "client.py").write_text(CLIENT)
    argv = [sys.executable, str(folder / "client.py"), url + "/v1", str(calls)]
    return json.loads(subprocess.run(argv, check=True, capture_output=True).stdout)


async def boxed(home: Path, url: str, calls: int) -> Any:
    """Return what the client measured in the box of a run."""
    (home / "client.py").write_text(CLIENT)
    loaded = parse(PROJECT.format(url=url, calls=calls).encode(), home / "project.yaml")
    settings = loaded.project.policy
    assert isinstance(settings, OpenAIPolicySettings)
    used: list[float] = []
    payload = ""

    def build(desk: Desk, made: int) -> World:
        context = Context(home, loaded.project.goal, desk)
        plan = KINDS["plan"](loaded.project.steps["plan"], context)
        return World(DockerSandbox(), [], {"plan": plan}, ProviderPolicy(settings))

    def watch(record: Record) -> None:
        nonlocal payload
        if record.event.type == "model.called":
            used.append(time.process_time())
        elif record.event.type == "proposal.frozen":
            payload = record.event.payload.ref

    with Store.open(home) as store:
        row = new_run(store, loaded)
        ending = await go(home, row, loaded, build, watch)
        assert ending.success, ending
        told, processor = json.loads(store.blob(payload))
    warm = len(used) - sum(len(seconds) for seconds, _ in told.values())
    return told, processor | {"runtime": used[-1] - used[warm - 1]}


def measure(url: str, calls: int, repeat: int) -> dict[str, Any]:
    """Return what was measured: straight and boxed, one after the other, so many times."""
    found: dict[str, dict[int, list[Any]]] = {
        "straight": {parallel: [] for parallel in PARALLEL},
        "boxed": {parallel: [] for parallel in PARALLEL},
    }
    processor: dict[str, float] = {}
    made = 0
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as folder:
            direct, _ = straight(Path(folder), url, calls)
        with tempfile.TemporaryDirectory() as folder:
            through, used = trio.run(boxed, Path(folder), url, calls)
        for parallel in PARALLEL:
            found["straight"][parallel].append(direct[str(parallel)])
            found["boxed"][parallel].append(through[str(parallel)])
            made += len(through[str(parallel)][0])
        for name, seconds in used.items():
            processor[name] = processor.get(name, 0.0) + seconds
    rows = [
        {
            "parallel": parallel,
            "straight_ms": _median_ms(found["straight"][parallel]),
            "boxed_ms": _median_ms(found["boxed"][parallel]),
            "straight_rate": _rate(found["straight"][parallel]),
            "boxed_rate": _rate(found["boxed"][parallel]),
        }
        for parallel in PARALLEL
    ]
    return {"rows": rows, "processor_ms": {name: s / made * 1e3 for name, s in processor.items()}}


def _median_ms(told: list[Any]) -> float:
    return statistics.median(one for seconds, _ in told for one in seconds) * 1e3


def _rate(told: list[Any]) -> float:
    """Return how many calls were answered in a second, in the median repetition."""
    return statistics.median(len(seconds) / whole for seconds, whole in told)


def show(words: str, found: dict[str, Any]) -> None:
    """Print a table."""
    print(f"\n{words}")
    print(f"{'in parallel':>12} {'straight':>12} {'boxed':>12} {'added':>11} {'calls/s':>17}")
    for row in found["rows"]:
        one, other = row["straight_ms"], row["boxed_ms"]
        rates = f"{row['straight_rate']:.0f} / {row['boxed_rate']:.0f}"
        times = f"{one:>9.2f} ms {other:>9.2f} ms {other - one:>8.2f} ms"
        print(f"{row['parallel']:>12} {times} {rates:>17}")


def main() -> None:
    """Measure and print two tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=640, help="in each row, at the instant server")
    parser.add_argument("--repeat", type=int, default=3, help="how often all of it is done")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        asyncio.run(serve())
        return
    if asked.calls < 10 or asked.repeat < 1:
        parser.error("--calls must be at least 10, and --repeat at least 1")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    argv = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        url = server.stdout.readline().decode().strip()
        before = os.getloadavg()[0]
        fast = measure(url, asked.calls, asked.repeat)
        slow = measure(url + "/slow", SLOW_ROUNDS, asked.repeat)
        server.communicate()
    load = f"{before:.1f} … {os.getloadavg()[0]:.1f}"
    if asked.json:
        print(json.dumps({"instant": fast, "slow": slow, "load": load}))
        return
    show("a server that answers at once", fast)
    used = fast["processor_ms"]
    told = ", ".join(f"{name} {used[name]:.2f}" for name in sorted(used))
    print(f"processor time of a call from the box [ms]: {told}")
    show(f"a server that takes {SLOW_SECONDS:g} s", slow)
    print(f"load of the machine: {load}")


if __name__ == "__main__":
    main()
