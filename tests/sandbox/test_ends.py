"""How boxes end: by themselves, by force, by their runtime's death; and what is left of them."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import uuid

import pytest
import trio

from monastery.runtime.errors import (
    BoxDied,
    EngineUnavailable,
    ImageUnfit,
    LimitExceeded,
)
from monastery.runtime.records import AgentExited, BoxLimits, BoxSpec, RunId
from monastery.sandbox.box import DockerSandbox

EAT = "x = []\nwhile True: x.append(bytearray(b'1') * (8 << 20))"

FILL = """
import itertools
for number in itertools.count():
    with open(str(number), "wb") as file: file.write(bytes(1 << 20))
"""


def left_of(engine_api, run) -> list[str]:
    """Name what the engine still has of a run."""
    label = {"label": f"monastery.run={run}"}
    containers = [found["Id"] for found in engine_api.containers(all=True, filters=label)]
    return containers + [
        found["Name"] for found in engine_api.volumes(filters=label)["Volumes"] or []
    ]


async def test_an_agent_that_exits_is_told(sandbox, opened, program):
    """Exit codes and signals come through, and what it left running is gone."""
    async with opened(sandbox) as box:
        await program(box, "import os; os.system('sleep 98734 &'); os._exit(3)")
        assert await box.receive() == AgentExited(3)
        await program(box, "import os; os.kill(os.getpid(), 15)")
        assert await box.receive() == AgentExited(-15)


async def test_a_killed_guest_is_a_dead_box(opened, docker_sandbox, engine_api):
    """Whoever waits hears of it at once, and so does whoever comes later."""
    async with opened(docker_sandbox) as box:
        pid = engine_api.inspect_container(box.facts.box)["State"]["Pid"]
        async with trio.open_nursery() as nursery:

            async def wait():
                with pytest.raises(BoxDied, match="137"):
                    await box.run(["sleep", "98731"])

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.01)
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(BoxDied) as caught:
            await box.receive()
        assert not caught.value.out_of_memory


async def test_a_removed_container_is_a_dead_box(opened, docker_sandbox, engine_api):
    """Somebody removed it by hand: that is said, and closing it is no error."""
    async with opened(docker_sandbox) as box:
        engine_api.remove_container(box.facts.box, force=True)
        with pytest.raises(BoxDied):
            await box.receive()


async def test_the_agent_cannot_end_or_reach_the_guest(opened, docker_sandbox):
    """Signals, its descriptors, its memory and its environment are out of the agent's reach."""
    attacks = """
kill -9 1; kill -9 -1; kill -STOP 1
true
"""
    async with opened(docker_sandbox) as box:
        await box.run(["sh", "-c", attacks])
        for path in ("fd/1", "fd/0", "mem", "environ"):
            result = await box.run(["sh", "-c", f": > /proc/1/{path} || cat /proc/1/{path}"])
            assert b"ermission denied" in result.stderr, path
        assert (await box.run(["true"])).exit_code == 0


async def test_a_memory_bomb_is_told_as_that(opened, docker_sandbox, program):
    """The kernel takes the agent and not the guest, and the run hears which limit it was."""
    async with opened(docker_sandbox, memory_bytes=96 << 20) as box:
        assert (await box.run(["python3", "-c", EAT])).exit_code == -9
        await program(box, EAT)
        with pytest.raises(LimitExceeded, match="memory"):
            await box.receive()
        assert (await box.run(["true"])).exit_code == 0


async def test_a_guest_without_memory_is_an_out_of_memory_box(opened, docker_sandbox):
    """When the kernel takes the guest itself, the box died, of its memory."""
    async with opened(docker_sandbox, memory_bytes=48 << 20) as box:
        with pytest.raises(BoxDied) as caught:  # stdin is kept in the guest's own memory
            await box.run(["sleep", "98731"], stdin=bytes(128 << 20))
        assert caught.value.out_of_memory


async def test_an_image_without_python_is_unfit(engine_api, opened, docker_sandbox, image):
    """One line that says what a box image needs; nothing is left behind."""
    name = f"monastery-test-empty:{uuid.uuid4().hex[:8]}"
    engine_api.import_image_from_data(empty_tar(), *name.split(":"))
    run = RunId(f"test-{uuid.uuid4().hex[:12]}")
    try:
        with pytest.raises(ImageUnfit, match="python3") as caught:
            async with opened(docker_sandbox, run=run, image=name):
                pass
        assert "\n" not in str(caught.value)
        assert left_of(engine_api, run) == []
    finally:
        engine_api.remove_image(name, force=True)


def empty_tar() -> bytes:
    """An image's file system with one file that is no python3."""
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("nothing"))
    return buffer.getvalue()


async def test_a_missing_image_is_unfit(opened, docker_sandbox):
    """The message names the image and the mend."""
    with pytest.raises(ImageUnfit, match=r"'no-such-image:ever'.*make setup"):
        async with opened(docker_sandbox, image="no-such-image:ever"):
            pass


@pytest.mark.parametrize("state", ["opening", "open", "frozen", "forked"])
async def test_cancellation_leaves_no_container(docker_sandbox, image, engine_api, state):
    """However far it came, a cancelled box is removed, a frozen one too."""
    run = RunId(f"test-{uuid.uuid4().hex[:12]}")
    with trio.CancelScope() as scope:
        if state == "opening":
            scope.deadline = trio.current_time() + 0.05
        async with docker_sandbox.open(run, BoxSpec(image)) as box:
            if state in ("frozen", "forked"):
                await box.freeze()
            async with contextlib.AsyncExitStack() as stack:
                if state == "forked":
                    await stack.enter_async_context(box.fork())
                scope.cancel()
                await trio.sleep_forever()
    assert scope.cancelled_caught
    volumes = {f"monastery-{run}-work", f"monastery-{run}-ready"}
    assert set(left_of(engine_api, run)) == (set() if state == "opening" else volumes)
    await docker_sandbox.forget(run)
    assert left_of(engine_api, run) == []


RUNTIME = """
import sys, trio
from monastery.runtime.records import BoxSpec, RunId
from monastery.sandbox.box import DockerSandbox

async def main(run, image, frozen, local):
    async with DockerSandbox(local=local == "local").open(RunId(run), BoxSpec(image)) as box:
        if frozen == "frozen":
            await box.freeze()
        print("up", flush=True)
        await trio.sleep_forever()

trio.run(main, *sys.argv[1:])
"""


@pytest.fixture
def other_runtime(image, tmp_path):
    """Starts another process with a box; it is killed at the end."""
    with contextlib.ExitStack() as stack:

        def start(run, *how):
            (tmp_path / "runtime.py").write_text(textwrap.dedent(RUNTIME))
            argv = [sys.executable, str(tmp_path / "runtime.py"), run, image, *how]
            process = stack.enter_context(subprocess.Popen(argv, stdout=subprocess.PIPE))
            stack.callback(process.kill)
            while b"up" not in (line := process.stdout.readline()):
                assert line, "the other runtime did not come up"
            return process

        yield start


@pytest.mark.parametrize("how", [("frozen", "local"), ("frozen", "remote"), ("thinking", "local")])
async def test_the_box_of_a_killed_runtime_is_reaped(
    docker_sandbox, engine_api, other_runtime, how
):
    """Kill -9 of a runtime: its box, frozen or not, is gone after the next `reap`."""
    run = RunId(f"test-{uuid.uuid4().hex[:12]}")
    other = other_runtime(run, *how)
    other.kill()
    other.wait()
    await docker_sandbox.reap()
    assert [name for name in left_of(engine_api, run) if not name.startswith("monastery")] == []
    assert f"monastery-{run}-work" in left_of(engine_api, run)
    await docker_sandbox.forget(run)
    assert left_of(engine_api, run) == []


async def test_runtimes_leave_each_other_alone(docker_sandbox, engine_api, other_runtime, opened):
    """What another living runtime holds is not reaped, and neither is one's own."""
    run = RunId(f"test-{uuid.uuid4().hex[:12]}")
    other = other_runtime(run, "frozen", "local")
    async with opened(docker_sandbox) as box:
        (theirs,) = (name for name in left_of(engine_api, run) if len(name) == 64)
        reaped = await docker_sandbox.reap()
        assert theirs not in reaped
        assert box.facts.box not in reaped
        assert engine_api.inspect_container(theirs)["State"]["Running"]
        assert (await box.run(["true"])).exit_code == 0
    other.kill()
    other.wait()
    await docker_sandbox.forget(run)
    assert left_of(engine_api, run) == []


async def test_no_engine_is_unavailable(image, monkeypatch, tmp_path):
    """Nothing listens: the message says where to say where the engine is."""
    for host in (f"unix://{tmp_path}/none.sock", "tcp://127.0.0.1:1", "ssh://nobody@127.0.0.1"):
        monkeypatch.setenv("DOCKER_HOST", host)
        with pytest.raises(EngineUnavailable, match="DOCKER_HOST"):
            async with DockerSandbox().open(RunId("r"), BoxSpec(image)):
                pass


async def test_a_box_is_what_the_record_says(opened, docker_sandbox, engine_api, image):
    """Facts name the container and the image by content; the container is hardened."""
    async with opened(docker_sandbox, memory_bytes=128 << 20, pids=64, cpus=0.5) as box:
        found = engine_api.inspect_container(box.facts.box)
        host = found["HostConfig"]
        assert box.facts.image_digest == engine_api.inspect_image(image)["Id"] == found["Image"]
        assert (host["NetworkMode"], host["CapDrop"]) == ("none", ["ALL"])
        assert host["ReadonlyRootfs"]
        assert (host["Memory"], host["MemorySwap"]) == (128 << 20, 128 << 20)
        assert (host["PidsLimit"], host["NanoCpus"]) == (64, 500_000_000)
        status = (await box.run(["cat", "/proc/self/status"])).stdout.decode()
        fields = dict(line.split(":\t", 1) for line in status.splitlines())
        assert fields["NoNewPrivs"] == "1"
        assert fields["Seccomp"] == "2"
        assert int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0
        assert (
            await box.run(["sh", "-c", "echo x > /usr/x; ls /sys/class/net /proc/net"])
        ).exit_code
        assert (await box.run(["sh", "-c", "echo ok > /tmp/x && . /tmp/x || true"])).exit_code == 0


def test_limits_have_sane_defaults():
    """The limits that a project does not name are those of the record."""
    assert BoxLimits().pids == 256
