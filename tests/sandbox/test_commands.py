"""Commands in a box with a real guest: their ends, their trees, their output."""

import os
import resource

import pytest
import trio

from monastery.runtime.errors import BadInput


async def test_a_command_tells_its_output_and_how_it_ended(sandbox, opened):
    """Exit code, both outputs, stdin, folder and environment are those asked for."""
    async with opened(sandbox) as box:
        await box.write_file("sub/here", b"")
        text = 'cat; pwd >&2; echo "$WORD"; exit 7'
        result = await box.run(["sh", "-c", text], cwd="sub", env={"WORD": "w"}, stdin=b"in\n")
        assert (result.exit_code, result.stdout) == (7, b"in\nw\n")
        assert result.stderr.endswith(b"/sub\n")
        assert not result.timed_out
        assert not result.truncated
        killed = await box.run(["sh", "-c", "kill -9 $$"])
        assert killed.exit_code == -9


async def test_a_large_stdin_arrives_whole(sandbox, opened):
    """Several chunks of stdin arrive in order, and its end is seen."""
    sent = os.urandom(1 << 20)
    async with opened(sandbox) as box:
        result = await box.run(["cat"], stdin=sent, max_output_bytes=2 << 20)
        assert result.stdout == sent


async def test_a_folder_that_does_not_exist_is_bad_input(sandbox, opened):
    """A command's folder must exist, and a path with a NUL does not end the guest."""
    async with opened(sandbox) as box:
        with pytest.raises(BadInput, match="nowhere"):
            await box.run(["true"], cwd="nowhere")
        with pytest.raises(BadInput):
            await box.run(["true", "a\0b"])
        assert (await box.run(["true"])).exit_code == 0


HIDERS = {
    "child": "sleep 98731",
    "own session": "setsid sleep 98731 & wait",
    "nohup": "nohup sleep 98731 >/dev/null 2>&1 & wait",
    "double fork": "(setsid sh -c '(sleep 98731 &) ; sleep 98731' &) ; sleep 98731",
    "without its mark": "env -i setsid sleep 98731 & sleep 98731",
    "ignores signals": "trap '' TERM HUP INT; (trap '' TERM; sleep 98731) & sleep 98731",
}


@pytest.mark.parametrize("how", HIDERS)
async def test_the_time_limit_kills_all_that_a_command_started(sandbox, opened, how):
    """No way of hiding from a process group or a session outlives the command."""
    async with opened(sandbox) as box:
        result = await box.run(["sh", "-c", HIDERS[how]], timeout_seconds=0.15)
        assert result.timed_out
        assert await sleepers(box) == 0


async def test_the_end_of_a_command_kills_what_it_left_behind(sandbox, opened):
    """A command that leaves a server behind is over when it is over."""
    async with opened(sandbox) as box:
        result = await box.run(["sh", "-c", "setsid sleep 98731 & echo left"])
        assert (result.exit_code, result.stdout) == (0, b"left\n")
        assert await sleepers(box) == 0


async def test_a_fork_loop_is_swept_away(opened, make_sandbox):
    """Processes that fork faster than they die are all gone after the time limit."""
    loop = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    async with opened(make_sandbox("docker"), pids=100) as box:
        result = await box.run(["python3", "-c", loop], timeout_seconds=0.3)
        assert result.timed_out
        assert (await box.run(["sh", "-c", "echo /proc/[0-9]*"])).stdout.count(b"/proc/") <= 3


async def test_a_command_does_not_end_what_the_agent_keeps_running(sandbox, opened, program):
    """The agent and its background server live on when a command of ours ends."""
    agent = "import subprocess, time\nsubprocess.run('sleep 98732 &', shell=True)\nprint('up')\n"
    async with opened(sandbox) as box:
        await program(
            box, agent + "import monastery_box\nmonastery_box.model({})\ntime.sleep(98731)"
        )
        await box.receive()
        await box.run(["sh", "-c", "setsid sleep 98733 &"])
        assert await sleepers(box, b"98732") == 1
        assert await sleepers(box, b"98733") == 0


KEPT = 200
KEEPER = f"""
import subprocess, time
import monastery_box
for _ in range({KEPT}):
    inner = "exec sh -c 'echo kept >> kept.txt'"
    subprocess.run(["sh", "-c", '(exec sh -c "$0") & :', inner])
monastery_box.model({{}})
time.sleep(98731)
"""


async def test_a_program_that_takes_anothers_place_is_not_taken_for_a_commands(
    sandbox, opened, program
):
    """For a moment it has no environment, by which what the agent keeps running is known."""

    async def commands():
        while True:
            await box.run(["true"])

    async with opened(sandbox) as box:
        await program(box, KEEPER)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(commands)
            await box.receive()
            nursery.cancel_scope.cancel()
        lines = 0
        with trio.move_on_after(20):
            while lines < KEPT:
                lines = int((await box.run(["sh", "-c", "wc -l < kept.txt"])).stdout)
        assert lines == KEPT


async def test_a_cancelled_command_is_killed(sandbox, opened):
    """Nobody waits for it any more, so it does not run any more; the box goes on."""
    async with opened(sandbox) as box:
        with trio.move_on_after(0.1) as scope:
            await box.run(["sleep", "98731"])
        assert scope.cancelled_caught
        assert (await box.run(["true"])).exit_code == 0
        assert await sleepers(box) == 0


async def test_a_flood_of_output_is_cut_and_counted(sandbox, opened):
    """100 MB are counted to the byte, the first bytes kept, and memory here stays as it was."""
    async with opened(sandbox) as box:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        flood = "head -c 100000000 /dev/zero; echo done >&2"
        result = await box.run(["sh", "-c", flood], max_output_bytes=1000)
        assert result.stdout == bytes(1000)
        assert result.stdout_seen_bytes == 100_000_000
        assert result.stderr == b"done\n"
        assert result.truncated
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB


async def test_commands_run_at_the_same_time(sandbox, opened):
    """Two commands that wait for each other both end."""
    async with opened(sandbox) as box:
        await box.run(["mkfifo", "a"])
        results = {}

        async def run(name, text):
            results[name] = await box.run(["sh", "-c", text], timeout_seconds=200)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, "reader", "cat a")
            nursery.start_soon(run, "writer", "echo through > a")
        assert results["reader"].stdout == b"through\n"


@pytest.mark.parametrize("trap", ["file", "folder", "fifo", "absolute"])
async def test_what_is_no_plain_file_is_refused(sandbox, opened, trap):
    """Symbolic links on any part of the way and pipes are neither read nor written through."""
    async with opened(sandbox) as box:
        await box.write_file("real/secret", b"s")
        make = {
            "file": "ln -s real/secret trap",
            "folder": "ln -s real trapped",
            "fifo": "mkfifo trap",
            "absolute": "ln -s /etc/passwd trap",
        }[trap]
        await box.run(["sh", "-c", make])
        path = "trapped/secret" if trap == "folder" else "trap"
        with pytest.raises(BadInput, match=r"symbolic link|regular"):
            await box.read_file(path)
        if trap == "folder":
            with pytest.raises(BadInput, match="symbolic link"):
                await box.write_file(path, b"x")
        else:
            await box.write_file(path, b"x")  # replaces the trap itself
            assert await box.read_file(path) == b"x"
        assert await box.read_file("real/secret") == b"s"


async def test_a_sparse_giant_is_not_read(sandbox, opened):
    """A file that claims to be huge is refused by its size, at once."""
    async with opened(sandbox) as box:
        await box.run(["truncate", "-s", "900M", "giant"])
        with pytest.raises(BadInput, match="more than"):
            await box.read_file("giant", max_bytes=1 << 20)
        await box.freeze()
        async with box.fork() as fork:  # a hole is copied as a hole
            assert (await fork.run(["stat", "-c", "%s %b", "giant"])).stdout == b"943718400 0\n"
        await box.thaw()


async def sleepers(box, argument=b"98731"):
    """Count the box's sleep processes whose argument begins so."""
    text = "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null && echo; done"
    listed = (await box.run(["sh", "-c", text], max_output_bytes=8 << 20)).stdout.splitlines()
    return sum(line.startswith(b"sleep " + argument) for line in listed)
