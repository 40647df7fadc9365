"""A command on a terminal in a cell: typed on, looked at, resized, and gone at the end."""

import pytest

from monastery.runtime.errors import BadInput, BoxDied

SIZE = {"rows": 24, "columns": 80}


async def seen(shell, wanted: bytes) -> bytes:
    """Receive until this was shown."""
    shown = b""
    while wanted not in shown:
        more = await shell.receive()
        assert more, f"the shell ended; it showed {shown[-500:]!r}"
        shown += more
    return shown


@pytest.mark.parametrize("kind", ["docker", "docker-remote", "unboxed", "scripted"])
async def test_what_is_typed_runs_and_is_shown_until_the_end(kind, make_sandbox, opened):
    """In a fork of each kind of box: a file's words, and then nothing after `exit`."""
    async with opened(make_sandbox(kind)) as box:
        await box.write_file("note.txt", b"the bell is broken\n")
        await box.freeze()
        async with box.fork() as fork, fork.shell(["sh"], **SIZE) as shell:
            await shell.type(b"cat note.txt\r")
            await seen(shell, b"the bell is broken")
            await shell.resize(30, 100)
            await shell.type(b"exit\r")
            while await shell.receive():
                pass
            assert await shell.receive() == b""
            await shell.type(b"nobody hears this\r")
        await box.thaw()


async def test_it_is_a_terminal_of_its_own_with_a_size(sandbox, opened):
    """Programs see a terminal; they are told its size, and when that changes."""
    async with opened(sandbox) as box, box.shell(["sh"], **SIZE, env={"WORD": "w"}) as shell:
        await shell.type(b"tty; stty size; echo =$WORD=\r")
        shown = await seen(shell, b"=w=")
        assert b"/dev/pts/" in shown
        assert b"24 80" in shown
        await shell.resize(31, 101)
        await shell.type(b"stty size\r")
        await seen(shell, b"31 101")


async def test_ctrl_c_interrupts_what_floods_the_screen(sandbox, opened):
    """A program that prints for ever waits for who looks, and little is shown once it is ended."""
    async with opened(sandbox) as box, box.shell(["sh"], **SIZE) as shell:
        await shell.type(b"yes flood\r")
        total = 0
        while total < 1 << 20:
            total += len(await shell.receive())
        await shell.type(b"\x03")
        await shell.type(b"echo st''opped\r")
        assert len(await seen(shell, b"stopped")) < 1 << 18


async def test_what_nobody_looks_at_takes_no_room_and_holds_nothing_up(sandbox, opened):
    """A flood that is not received is held back in the box; commands run beside it."""
    async with opened(sandbox) as box, box.shell(["yes"], **SIZE):
        for _ in range(3):
            result = await box.run(["cat"], stdin=b"x" * 300_000)
            assert len(result.stdout) == 300_000


async def test_who_types_more_than_is_read_loses_it(sandbox, opened):
    """A program that reads nothing is typed at without end, and the guest goes on answering."""
    async with opened(sandbox) as box, box.shell(["sleep", "1000"], **SIZE) as shell:
        for _ in range(40):
            await shell.type(b"x" * 100_000)
        assert (await box.run(["true"])).exit_code == 0


async def test_nothing_of_it_is_left_after_the_block(sandbox, opened):
    """What was started from the shell, in the background too, is killed with it."""
    async with opened(sandbox) as box:
        async with box.shell(["sh"], **SIZE) as shell:
            await shell.type(b"sleep 4321 & setsid sleep 4321 & echo r''eady\r")
            await seen(shell, b"ready")
        gone = "while pgrep -f '^sleep 4321'; do sleep 0.01; done"
        assert (await box.run(["sh", "-c", gone])).exit_code == 0


async def test_a_command_that_does_not_exist_is_bad_input(sandbox, opened):
    """It is said when its words are wanted."""
    async with opened(sandbox) as box, box.shell(["no-such-shell"], **SIZE) as shell:
        with pytest.raises(BadInput, match="no-such-shell"):
            await shell.receive()


async def test_the_end_of_the_box_is_told(docker_sandbox, opened, engine_api):
    """Who waits for a shell's words hears that its box died."""
    async with opened(docker_sandbox) as box, box.shell(["sh"], **SIZE) as shell:
        await seen(shell, b"$")
        engine_api.kill(box.facts.box)
        with pytest.raises(BoxDied):
            await seen(shell, b"nothing says this")
