"""The official MCP client, unmodified, in a real box: proposes steps, reads the cached web."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

MONASTERY = str(Path(sys.executable).parent / "monastery")

PROJECT = """
name: mcp
goal: Speak MCP.
agent: {{command: [python3, agent.py]}}
box:
  files:
    - {{from: {lib}, to: lib}}
    - {{from: agent.py, to: agent.py}}
steps: {{plan: {{audit: never}}, file: {{audit: never, folder: out}}}}
cached_web: web
"""

AGENT = """
import sys; sys.path.insert(0, "lib")
import anyio
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

async def main(mode):
    server = stdio_client(StdioServerParameters(command="monastery-mcp"))
    async with Client(server, mode=mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert tools == ["propose_step", "web_search", "web_get"], tools
        step = {"kind": "plan", "rationale": "r", "payload": "first: " + mode}
        told = await client.call_tool("propose_step", step)
        assert not told.is_error and told.structured_content["status"] == "done", told
        with open(mode + ".txt", "w") as file:
            file.write("made by " + mode)
        step = {"kind": "file", "rationale": "r", "files": [mode + ".txt"]}
        assert not (await client.call_tool("propose_step", step)).is_error
        told = await client.call_tool("propose_step", dict(step, kind="nothing"))
        assert told.is_error and "only a step of kind" in told.content[0].text
        told = await client.call_tool("web_get", {"url": "page"})
        assert told.content[0].text == "A page.", told
        try:
            await client.call_tool("no_such_tool", {})
        except Exception as error:
            assert "Unknown tool" in str(error), error
        else:
            raise AssertionError("it was called")

for mode in ("auto", "legacy", "2026-07-28"):
    anyio.run(main, mode)
"""


@pytest.fixture(scope="module")
def lib(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client as its registry has it, for the box's Python."""
    folder = tmp_path_factory.mktemp("mcp")
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    argv += ["--only-binary=:all:", "--python-version", "3.11", "--no-compile", "mcp>=2.3"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def test_the_official_client_in_a_box(tmp_path: Path, lib: Path) -> None:
    """With a handshake and without; each step and each page is in the record."""
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "out").mkdir()
    (tmp_path / "web").mkdir()
    (tmp_path / "web/page.html").write_text("<p>A page.</p>")
    (tmp_path / "project.yaml").write_text(PROJECT.format(lib=lib))
    argv = [MONASTERY, "run", "project.yaml", "--json"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True)
    shown = subprocess.run(
        [MONASTERY, "show", "last", "--json", "--content"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, shown.stdout[-3000:] + done.stderr[-2000:]
    segments = json.loads(shown.stdout)["segments"]
    kinds = [one["proposal"]["kind"] for one in segments if one["proposal"]]
    assert kinds == ["plan", "file"] * 3
    assert sum(len(one["fetches"]) for one in segments) == 3
    for mode in ("auto", "legacy", "2026-07-28"):
        assert (tmp_path / f"out/{mode}.txt").read_text() == f"made by {mode}"
