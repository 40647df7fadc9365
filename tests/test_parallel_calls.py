"""Many model calls of one box at a time, through a whole run, to a real server."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.provider import Asked, answer, provider

MONASTERY = str(Path(sys.executable).parent / "monastery")
PARALLEL = 64
PROJECT = """
name: parallel
goal: Ask much at a time.
agent: {{command: [python3, agent.py]}}
box: {{files: [{{from: agent.py, to: agent.py}}]}}
steps: {{plan: {{audit: never}}}}
policy: {{openai: {url}/v1, models: [m-1], tries: 1}}
"""
AGENT = f"""
import http.client, json, os, threading, urllib.parse
url = urllib.parse.urlsplit(os.environ["OPENAI_BASE_URL"])
answered = []
def ask(number):
    made = http.client.HTTPConnection(url.hostname, url.port)
    message = {{"role": "user", "content": str(number)}}
    body = json.dumps({{"model": "m-1", "messages": [message]}})
    made.request("POST", "/v1/chat/completions", body)
    answered.append(made.getresponse().status)
threads = [threading.Thread(target=ask, args=(number,)) for number in range({PARALLEL})]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert answered == [200] * {PARALLEL}, answered
"""


def test_sixty_four_calls_of_one_box_are_under_way_at_once(tmp_path: Path) -> None:
    """A model that takes its time answers them all in the time of one, not one after the other."""
    together = threading.Barrier(PARALLEL)

    def usually(asked: Asked) -> Any:
        together.wait(timeout=120)  # broken, and with it the call, if they never are together
        return answer(asked)

    with provider() as served:
        served.usually = usually
        (tmp_path / "agent.py").write_text(AGENT)
        (tmp_path / "project.yaml").write_text(PROJECT.format(url=served.url))
        argv = [MONASTERY, "run", str(tmp_path / "project.yaml"), "--home", str(tmp_path / "home")]
        done = subprocess.run([*argv, "--json"], capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stdout + done.stderr
        said = {asked.body["messages"][0]["content"] for asked in served.asked}
    assert said == {str(number) for number in range(PARALLEL)}
