"""An auditor that is a program on the host: it reads the case, looks around in a fork, and votes.

The program reads one line, ``{"case": {…}}``. It may then write request lines, each answered by one
line, that are carried out in a fork of the frozen box (`requests`), and ends with ``{"vote": {…}}``
and exit code 0. Anything else is a failed audit. `program` speaks the other side of this.
"""

import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import trio

from monastery.auditor.process import Program, started
from monastery.auditor.requests import VoteLine, parse_line, serve
from monastery.auditor.votes import VoteMessage
from monastery.runtime.cases import shown
from monastery.runtime.errors import AuditFailed, MonasteryError
from monastery.runtime.ports import Cell, Forkable
from monastery.runtime.records import Case, Vote

MOST_LINE_BYTES = 64 << 20
_LAST_MOMENT_SECONDS = 1.0
"""How long a program that closed its output may take to end, so that its exit code is known."""


class CommandAuditor:
    """Asks a program.

    Args:
        name: Who votes, for the record.
        argv: The program and its arguments; found from `folder`, or on PATH.
        timeout_seconds: How long the whole audit may take.
        folder: The program's working folder, that of the project file.
    """

    def __init__(
        self, name: str, argv: Sequence[str], timeout_seconds: float, folder: Path
    ) -> None:
        self.name = name
        self._argv = tuple(argv)
        self._timeout_seconds = timeout_seconds
        self._folder = folder

    async def judge(self, case: Case, box: Forkable) -> Vote:
        """Return the program's vote; nothing of the program is left running.

        Raises:
            AuditFailed: The program cannot be started, gives no vote that counts, ends with another
                exit code than 0, or takes too long.
        """
        program: Program | None = None
        said: VoteMessage | str = f"gave no vote within {self._timeout_seconds:g} s"
        with trio.move_on_after(self._timeout_seconds):
            async with started(
                self._argv, self._folder, most_line_bytes=MOST_LINE_BYTES
            ) as program:
                said = await _converse(program, case, box)
        if isinstance(said, VoteMessage):
            return said.vote(self.name, case)
        last = program.last_complaint if program else ""
        complaint = f"; its last words: {last!r}" if last else ""
        raise AuditFailed(f"auditor {self.name!r} {said}{complaint}")


async def _converse(program: Program, case: Case, box: Forkable) -> VoteMessage | str:
    """Return the vote, or what is wrong with the program; either way it has ended."""
    told = trio.Event()

    async def tell() -> None:
        await program.write_line(json.dumps({"case": shown(case)}).encode())
        told.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.listen_to_complaints)
        nursery.start_soon(tell)  # beside all else: a program need not read it
        said = await _hear(program, box, told)
        if isinstance(said, VoteMessage):
            code = await program.wait()
            if code != 0:
                said = f"voted, but ended with exit code {code}"
        # What is left of it would hold its standard error open.
        await program.end()
    return said


async def _hear(program: Program, box: Forkable, told: trio.Event) -> VoteMessage | str:
    """Serve the program's requests until its vote; return that, or what is wrong."""
    cell: Cell | None = None
    try:
        async with AsyncExitStack() as stack:
            while (line := await program.read_line()) is not None:
                message = parse_line(line)
                if isinstance(message, VoteLine):
                    if await program.read_line() is not None:
                        return "wrote more after its vote"
                    return message.vote
                if cell is None:
                    cell = await stack.enter_async_context(box.fork())
                answer = await serve(message, cell)
                await told.wait()
                await program.write_line(json.dumps(answer).encode())
    except ValueError as exc:
        return f"wrote what cannot be read: {exc}"
    except MonasteryError as exc:
        return f"could not look into a fork of the box: {exc}"
    with trio.move_on_after(_LAST_MOMENT_SECONDS):
        return f"ended with exit code {await program.wait()} and no vote"
    return "closed its output without a vote"
