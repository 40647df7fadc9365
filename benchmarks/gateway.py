"""What the gateway adds to a model call: the same client in a box, and straight at the server.

    python benchmarks/gateway.py [--calls N]

A real HTTP server on this machine answers at once. The same few lines of client, in threads of a
Python that the box has too, call it through the gateway (HTTP in the box, the guest's stream, the
wall, the policy's HTTP to the server) and directly. What is not here is the journal, which
`step_overhead.py` measures. Compare the columns of one run.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import structlog
import trio

from monastery.policies.provider import ProviderPolicy
from monastery.runtime.gateway import wall
from monastery.runtime.ports import Box
from monastery.runtime.project import OpenAIPolicySettings
from monastery.runtime.records import AgentExited, BoxSpec, ModelRequest, RunId
from monastery.sandbox.box import DockerSandbox

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.provider import provider

CLIENT = """
import http.client, json, os, sys, threading, time, urllib.parse
url = urllib.parse.urlsplit(sys.argv[1] if len(sys.argv) > 2 else os.environ["OPENAI_BASE_URL"])
calls = int(sys.argv[-1])
body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 2000}]})

def work(count, seconds):
    made = http.client.HTTPConnection(url.hostname, url.port)
    for _ in range(count):
        began = time.perf_counter()
        made.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
        got = made.getresponse()
        got.read()
        assert got.status == 200, got.status
        seconds.append(time.perf_counter() - began)

work(3, [])
told = {}
for parallel in (1, 8, 64):
    seconds, began = [], time.perf_counter()
    each = max(2, calls // parallel)
    threads = [threading.Thread(target=work, args=(each, seconds)) for _ in range(parallel)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    assert len(seconds) == each * parallel
    told[parallel] = seconds, time.perf_counter() - began


def processor():
    names = {"gateway.py": "gateway", "client.py": "client"}
    used = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open("/proc/" + pid + "/cmdline").read()
            stat = open("/proc/" + pid + "/stat").read().rpartition(")")[2].split()
        except OSError:
            continue
        name = "guest" if pid == "1" else next((names[n] for n in names if n in words), "")
        used[name] = used.get(name, 0) + (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
    return used

print(json.dumps([told, processor() if len(sys.argv) < 3 else {}]))
"""


async def through(url: str, calls: int) -> Any:
    """Return what the client measured in a box."""
    policy = ProviderPolicy(
        OpenAIPolicySettings.model_validate({"openai": url + "/v1", "models": ["m"]})
    )
    run, sandbox = RunId(f"bench-{uuid.uuid4().hex[:12]}"), DockerSandbox()
    try:
        spec = BoxSpec("monastery-box:latest", gateway=True)
        async with sandbox.open(run, spec) as box, trio.open_nursery() as nursery:
            await box.write_file("client.py", CLIENT.encode())
            argv = ["python3", "client.py", str(calls)]
            await box.start_agent(argv, env={}, history=b"[]")
            while not isinstance(said := await box.receive(), AgentExited):
                assert isinstance(said, ModelRequest), said
                nursery.start_soon(carry, box, policy, said.call, said.body)
            text = box.take_transcript().text
            assert said.exit_code == 0, text.decode()
            return json.loads(text)
    finally:
        await policy.aclose()
        await sandbox.forget(run)


async def carry(box: Box, policy: ProviderPolicy, call: int, body: Mapping[str, Any]) -> None:
    """Answer one call as the runtime does, but for the record."""
    passed = wall.check(body, models=["m"])
    assert isinstance(passed, wall.Passed), passed
    answer = await policy.call({"api": passed.api, "request": passed.request})
    await box.answer(call, answer)


async def straight(url: str, calls: int) -> Any:
    """Return what the client measured on the host."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "client.py"
        path.write_text(CLIENT)
        argv = [sys.executable, str(path), url, str(calls)]
        done = await trio.run_process(argv, capture_stdout=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=640, help="of each kind, default 640")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        with provider() as served:
            print(served.url, flush=True)
            sys.stdin.read()
        return
    calls = asked.calls
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    server = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with server:
        assert server.stdout is not None
        url = server.stdout.readline().decode().strip()
        direct, _ = trio.run(straight, url, calls)
        before = resource.getrusage(resource.RUSAGE_SELF)
        boxed, used = trio.run(through, url, calls)
        after = resource.getrusage(resource.RUSAGE_SELF)
        server.communicate()
    print(f"{'in parallel':>12} {'straight':>10} {'boxed':>10} {'added':>10} {'calls/s':>17}")
    for parallel in direct:
        (fast, fast_whole), (slow, slow_whole) = direct[parallel], boxed[parallel]
        one, other = statistics.median(fast) * 1e3, statistics.median(slow) * 1e3
        rates = f"{len(fast) / fast_whole:.0f} / {len(slow) / slow_whole:.0f}"
        print(f"{parallel:>12} {one:>7.2f} ms {other:>7.2f} ms {other - one:>7.2f} ms {rates:>17}")
    made = sum(len(seconds) for seconds, _ in boxed.values())
    used["runtime"] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = ", ".join(f"{name} {used[name] / made * 1e3:.2f}" for name in sorted(used) if name)
    print(f"processor time of a call from the box [ms], starts included: {told}")


if __name__ == "__main__":
    main()
