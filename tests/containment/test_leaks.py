"""What docs/containment.md says still leaks does: a page that says too much is wrong as well."""

import re
from pathlib import Path

import pytest

LEAKS = {
    "paths": "grep -oE 'upperdir=[^ ,]+' /proc/self/mountinfo",
    "container id": "grep -oE 'containers/[0-9a-f]{64}' /proc/self/mountinfo",
    "processor": "grep 'model name' /proc/cpuinfo",
    "memory": "grep MemAvailable /proc/meminfo",
    "kernel": "uname -r",
    "uptime": "python3 -c 'import time; print(time.clock_gettime(time.CLOCK_BOOTTIME))'",
    "load": "python3 -c 'import os, ctypes; b = (ctypes.c_ulong * 16)();"
    " print(ctypes.CDLL(None).sysinfo(b) == 0 and b[1])'",
}
"""The leaks that are declared, and a command of a box that shows each."""


@pytest.mark.parametrize("leak", LEAKS)
async def test_a_declared_leak_is_there(opened, leak) -> None:
    """Each still tells something; when one is closed the page must change."""
    async with opened() as box:
        result = await box.run(["sh", "-c", LEAKS[leak]])
    assert result.exit_code == 0
    assert result.stdout.strip()


def test_the_page_declares_them() -> None:
    """A row for each, and no other."""
    text = (Path(__file__).parents[2] / "docs" / "containment.md").read_text()
    section = text.partition("## What still leaks")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| ([a-z ]+) \|", section, re.MULTILINE)) - {"leak"}
    assert listed == set(LEAKS)
