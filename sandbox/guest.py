"""The guest: the first process in the box, which speaks to the runtime over its stdin and stdout.

One file of the standard library (Python 3.8 or later), sent into the box through its stdin:
nothing needs to be in the image but python3, and nothing of ours lies where the agent could
replace it. Everything here runs with the agent's own rights, so nothing here is a secret; what
the guest protects is its own two descriptors and the truth of what it reports.

A line is one JSON object. Those to the runtime hold numbers and base64 only and are written in
exactly one way (see `wire`); those from the runtime are trusted. One thread, one selector: the
guest never blocks but in the selector, and stops reading from the agent while its queue is full.

A guest that may outlive its runtime hears a beat from it. When none comes it stops all processes of
the box, and waits for another runtime: that one greets it, and hears again what the agent asks.
"""

# pathlib would make every box open later by the time of its import:
# ruff: noqa: PTH101, PTH103, PTH113, PTH118, PTH123, PTH208

from __future__ import annotations

import binascii
import contextlib
import ctypes
import errno
import functools
import json
import os
import selectors
import signal
import socket
import stat
import sys
import time
from collections.abc import Callable
from typing import Any

CHUNK_BYTES = 1 << 18
QUEUE_BYTES = 1 << 20
HEAD_BYTES = 1 << 18
KILL_SECONDS = 30.0
PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 4, 36
SOCKETS = 192
BACKLOG = 128
KEPT_CALLS = 4  # for the proposal, and for those who ask without HTTP
OVERSLEPT_SECONDS = 0.5
TYPED_BYTES = 1 << 20  # of what nobody in the box reads, so much is kept
ANSWER = b'{"op":"answer","call":'
UNFINISHED = b"\x18"  # ends what a runtime had begun to say when it died; see `wire`


def main(sent: dict[str, Any]) -> None:
    """Serve the runtime until it hangs up.

    Args:
        sent: `config` (see `Guest`), and the texts of programs and modules for the agent.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    # Without this any process of the same user opens /proc/1/fd/1 and forges our lines.
    if libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE)")
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    guest = Guest(sent["config"])
    guest.furnish(sent["programs"], sent["modules"])
    guest.serve()


class Job:
    """One command, or the agent's program."""

    def __init__(self, number: int, limit_bytes: int, deadline: float | None) -> None:
        self.number = number  # 0 is the agent
        self.limit_bytes = limit_bytes
        self.deadline = deadline
        self.timed_out = False
        self.forgotten = False  # by a runtime that is gone
        self.pid = 0
        self.pipes: dict[int, int] = {}  # our end: the command's descriptor
        self.seen = {1: 0, 2: 0}


class Terminal(Job):
    """A command on a terminal of its own, which somebody types on and looks at."""

    def __init__(self, number: int, credit: int) -> None:
        super().__init__(number, 0, None)
        self.credit = credit  # so many bytes the runtime has room for
        self.screen, self.keyboard = -1, -1  # our end of the terminal, twice
        self.typed = bytearray()
        self.is_typing = False  # there is more than the terminal takes


class Upload:
    """A file on its way into the box."""

    def __init__(self, folder: int, name: str, path: str, mode: int, temporary: str) -> None:
        self.folder, self.name, self.path, self.mode = folder, name, path, mode
        self.temporary = temporary
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            self.fd = os.open(temporary, flags, 0o600, dir_fd=folder)
        except BaseException:
            os.close(folder)
            raise

    def put_in_place(self) -> None:
        """Let it appear under its name."""
        os.fchmod(self.fd, self.mode)
        os.rename(self.temporary, self.name, src_dir_fd=self.folder, dst_dir_fd=self.folder)

    def close(self) -> None:
        """Let go of it; what was not put in place is gone."""
        os.close(self.fd)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.temporary, dir_fd=self.folder)
        os.close(self.folder)


class Asker:
    """A process of the box which has a proposal, a model call or a fetch to make."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.inbox = b""
        self.call = 0
        self.left_bytes = 0
        self.reply = memoryview(b"")
        self.is_blocked = False  # it must read before we can go on writing
        self.stays = False  # it will ask again over the same connection


class Call:
    """A call that is not answered, whatever it is; its parts, where they may be asked again."""

    def __init__(self, asker: Asker, line: bytes, size: int) -> None:
        self.asker: Asker | None = asker
        self.lines = [line]
        self.size = size  # in bytes, 0 for a proposal, which finds room always


class Guest:
    """The selector loop, and one method for each thing that the runtime can ask.

    Args:
        config: `work` and `run`, the work folder and our own; `init`, whether this is process 1;
            `calls`, whether there may be proposals and model calls, and how many may be open;
            `payload_bytes` and `model_bytes`, their bounds; `open_bytes`, that of all open model
            calls and fetches together; `env`, the commands' environment;
            `silence`, after how long without a word from the runtime everything is stopped
            [seconds], 0 if its end is heard; `alone`, how long to wait for another one then;
            `key`, in hexadecimal digits, that of the seals on our lines, or nothing; `port`, on
            which the model's usual API and the cached web are served, 0 for any, or nothing;
            `model`, whether there is a model; `web`, how long a fetch from the cached web may be,
            0 if there is none; `steps`, what a payload of each kind of step is.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.work: str = config["work"]
        self.run: str = config["run"]
        self.init: bool = config["init"]
        self.config = config
        self.selector = selectors.DefaultSelector()
        self.inbox = bytearray()
        self.queue = bytearray()
        self.key = bytes.fromhex(config.get("key", ""))
        self.said = 0
        self.writing = False
        self.held: dict[int, Callable[[int], None]] | None = None
        self.sources: dict[int, Callable[[int], None]] = {}
        self.leaders: dict[int, Job] = {}
        self.ended: list[tuple[Job, int]] = []
        self.stdins: dict[int, int] = {}
        self.uploads: dict[int, Upload] = {}
        self.reading: list[tuple[int, int, int]] = []
        self.calls: dict[int, Call] = {}
        self.last_call = 0
        self.askers: set[Asker] = set()
        self.proposal = 0
        self.agent: Job | None = None
        self.exited: int | None = None
        self.printed_bytes = 0
        self.http: socket.socket | None = None
        self.server = 0  # the process that answers there
        self.heard = time.monotonic()
        self.stopped = False

    # The loop.

    def furnish(self, programs: dict[str, str], modules: dict[str, str]) -> None:
        """Lay out our folder: the programs, the modules, and the socket that they use."""
        for folder in (self.run, self.run + "/bin", self.run + "/lib"):
            os.makedirs(folder, mode=0o755, exist_ok=True)
        for name, text in programs.items():
            command = f"{self.run}/bin/{name}"
            with open(command, "w") as file:
                file.write("#!" + sys.executable + " -IS\n" + text)
            os.chmod(command, 0o755)  # noqa: S103 - it is there to be run
        for name, text in modules.items():
            with open(f"{self.run}/lib/{name}.py", "w") as file:
                file.write(text)
        with open(self.run + "/lib/offers.json", "w") as file:
            json.dump({"steps": self.config["steps"], "web": bool(self.config["web"])}, file)
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.door.bind(self.run + "/agent.sock")
        self.door.listen(SOCKETS)
        self.door.setblocking(False)

    def serve(self) -> None:
        """Answer the runtime until it hangs up."""
        woken, waker = os.pipe()
        for end in (0, 1, woken, waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)

        def child_changed(mask: int) -> None:
            os.read(woken, 4096)
            self.reap()

        self.selector.register(0, selectors.EVENT_READ, self.hear)
        self.selector.register(woken, selectors.EVENT_READ, child_changed)
        self.source(self.door.fileno(), self.open_door)
        self.say_hello(0)
        while True:
            self.flush()
            patience = self.patience()
            due = time.monotonic() + (patience or 0.0)
            events = self.selector.select(patience)
            for key, mask in events:
                if self.selector.get_map().get(key.fd) is key:
                    key.data(mask)
            self.mind_silence(due)
            self.expire()
            while self.ended:
                self.finish(*self.ended.pop(0))
            if self.reading and self.held is None:
                self.read_on()

    def patience(self) -> float | None:
        """Return how long the selector may wait [seconds]."""
        if self.reading and self.held is None:
            return 0.0
        deadlines = [job.deadline for job in self.leaders.values() if job.deadline is not None]
        if self.config["silence"]:
            limit = self.config["alone" if self.stopped else "silence"]
            deadlines.append(self.heard + limit)
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def say_hello(self, greeting: int) -> None:
        """Say that we are there, and how things stand."""
        disk = os.statvfs(self.work)
        room = disk.f_blocks * disk.f_frsize
        agent = b"false" if self.agent is None and self.exited is None else b"true"
        line = (
            b'{"op":"hello","python":"%d.%d","room":%d,"greeting":%d,"calls":%d,"printed":%d,'
            b'"agent":%s}\n'
        )
        state = greeting, self.last_call, self.printed_bytes, agent
        self.say(line % (*sys.version_info[:2], room, *state))

    def mind_silence(self, due: float) -> None:
        """Stop the box while there is no runtime; leave when none comes."""
        if not self.config["silence"]:
            return
        now = time.monotonic()
        if now > due + OVERSLEPT_SECONDS:
            self.heard = now  # we did not run either: the box was frozen
        if not self.stopped and now >= self.heard + self.config["silence"]:
            self.signal_all(signal.SIGSTOP)
            self.stopped = True
        elif self.stopped and now >= self.heard + self.config["alone"]:
            self.leave()

    def signal_all(self, number: int) -> None:
        """Signal every process of the box but ourselves; the kernel lets no fork slip through."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, number)

    def do_beat(self) -> None:
        """Hear that the runtime is there."""

    def do_greet(self, greeting: int) -> None:
        """Meet another runtime: drop what the last one asked, ask again what the agent asks."""
        for job in list(self.leaders.values()):
            if job.number:
                job.forgotten = True
                self.do_kill(job.number)
        for number in {*self.uploads, *self.stdins, *(entry[0] for entry in self.reading)}:
            self.do_kill(number)
        self.ended = [(job, code) for job, code in self.ended if not job.number]
        self.queue[:] = b"\n"  # a line may be half written
        self.say_hello(greeting)
        for call in self.calls.values():
            for line in call.lines:
                self.say(line)
        if self.exited is not None:
            self.say(b'{"op":"exited","code":%d}\n' % self.exited)

    def say(self, line: bytes) -> None:
        """Queue a line for the runtime."""
        if self.key:
            self.queue += sealed(self.key, self.said, line)
            self.said += 1
        self.queue += line

    def flush(self) -> None:
        """Write what the pipe takes; hold all sources back while much is left."""
        try:
            while self.queue:
                del self.queue[: os.write(1, memoryview(self.queue)[:CHUNK_BYTES].tobytes())]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self.leave()
        if bool(self.queue) != self.writing:
            self.writing = bool(self.queue)
            if self.writing:
                self.selector.register(1, selectors.EVENT_WRITE, lambda mask: None)
            else:
                self.selector.unregister(1)
        if self.held is None and len(self.queue) > QUEUE_BYTES:
            self.held = dict(self.sources)
            for fd in self.held:
                self.selector.unregister(fd)
        elif self.held is not None and len(self.queue) < QUEUE_BYTES // 2:
            held, self.held = self.held, None
            for fd, callback in held.items():
                self.selector.register(fd, selectors.EVENT_READ, callback)

    def source(self, fd: int, callback: Callable[[int], None]) -> None:
        """Read from a descriptor that can make us say much."""
        self.sources[fd] = callback
        if self.held is None:
            self.selector.register(fd, selectors.EVENT_READ, callback)
        else:
            self.held[fd] = callback

    def forget(self, fd: int) -> None:
        """Read from it no more."""
        if self.sources.pop(fd, None) is not None:
            if self.held is None:
                self.selector.unregister(fd)
            else:
                self.held.pop(fd, None)

    def hear(self, mask: int) -> None:
        """Take what the runtime says; when it hangs up, end everything."""
        data = os.read(0, 1 << 20)
        if not data:
            self.leave()
        self.heard = time.monotonic()
        self.inbox += data
        if b"\n" in data:
            lines = bytes(self.inbox).split(b"\n")
            self.inbox = bytearray(lines.pop())
            for line in lines:
                if line.endswith(UNFINISHED):
                    continue
                if line.startswith(ANSWER):  # its asker reads it; for us it is bytes
                    call, _, reply = line[len(ANSWER) : -1].partition(b',"reply":')
                    self.pass_in(int(call), reply)
                    continue
                message = json.loads(line)
                getattr(self, "do_" + message.pop("op"))(**message)
        if self.stopped:
            self.stopped = False
            self.signal_all(signal.SIGCONT)

    def leave(self) -> None:
        """End with everything that runs here; a box whose runtime is gone must not think."""
        if not self.init:  # the kernel does it when process 1 ends
            self.leaders.clear()
            self.sweep()
        os._exit(0)

    # Commands and the agent's program.

    def do_run(
        self,
        job: int,
        argv: list[str],
        cwd: str,
        env: dict[str, str],
        seconds: float,
        limit_bytes: int,
    ) -> None:
        """Start a command; its stdin was uploaded before under the same number, or is empty."""
        stdin = self.stdins.pop(job, -1)
        if stdin >= 0:
            os.lseek(stdin, 0, os.SEEK_SET)
        made = Job(job, limit_bytes, time.monotonic() + seconds)
        try:
            self.start(made, argv, cwd, env, stdin)
        except (OSError, ValueError) as error:
            self.refuse(job, f"cannot run {argv[0]!r} in {cwd}: {explain(error)}")
        finally:
            if stdin >= 0:
                os.close(stdin)

    def do_agent(self, job: int, argv: list[str], env: dict[str, str]) -> None:
        """Start the agent's program; both its outputs are the transcript."""
        made = Job(0, 0, None)
        try:
            self.start(made, argv, self.work, {**self.open_gateway(), **env}, -1)
        except (OSError, ValueError) as error:
            self.refuse(job, f"cannot start the agent {argv[0]!r}: {explain(error)}")
        else:
            self.agent = made
            self.done(job)

    def open_gateway(self) -> dict[str, str]:
        """Listen where model and cached web are served; return what tells the agent of them."""
        if self.config["port"] is None or self.http is not None:
            return {}
        self.http = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.http.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.http.bind(("127.0.0.1", self.config["port"]))
        self.http.listen(BACKLOG)
        self.http.setblocking(False)
        self.selector.register(self.http.fileno(), selectors.EVENT_READ, self.start_server)
        url = f"http://127.0.0.1:{self.http.getsockname()[1]}"
        told = {"MONASTERY_WEB": url + "/web"} if self.config["web"] else {}
        if self.config["model"]:
            told.update(OPENAI_BASE_URL=url + "/v1", ANTHROPIC_BASE_URL=url)
            told.update(OPENAI_API_KEY="none", ANTHROPIC_API_KEY="none")
        return told

    def close_gateway(self) -> None:
        """Listen no more: the agent is gone, and what served it was swept away."""
        if self.http is not None:
            if not self.server:
                self.selector.unregister(self.http.fileno())
            self.http.close()
            self.http, self.server = None, 0

    def start_server(self, mask: int) -> None:
        """Have a process of the agent's answer: who reads HTTP must not hold our descriptors.

        Nobody waits for it who does not use it: it is started by the first who connects. It bears
        the agent's mark, so it goes when the agent goes; when it dies alone the next one who
        connects starts it again.
        """
        assert self.http is not None
        limits = str(self.config["model_bytes"]), str(self.config["calls"] - KEPT_CALLS)
        program = self.run + "/lib/gateway.py"
        argv = [sys.executable, "-I", "-S", program, self.run + "/agent.sock", *limits]
        marked = dict(self.config["env"], MONASTERY_JOB=f"{os.getpid()}.0")
        null = os.open("/dev/null", os.O_RDWR)
        actions = [(os.POSIX_SPAWN_DUP2, null, end) for end in (0, 1, 2)]
        actions.append((os.POSIX_SPAWN_DUP2, self.http.fileno(), 3))
        reset = set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}
        try:
            self.server = os.posix_spawn(
                argv[0], argv, marked, file_actions=actions, setsid=True, setsigdef=reset
            )
        except OSError:  # no room for a process: who connected is told by the end of it
            with contextlib.suppress(OSError):
                self.http.accept()[0].close()
        else:
            self.selector.unregister(self.http.fileno())
        finally:
            os.close(null)

    def do_kill(self, job: int) -> None:
        """End what nobody waits for any more."""
        for pid, made in self.leaders.items():
            if made.number == job:
                os.kill(pid, signal.SIGKILL)
        for entry in [entry for entry in self.reading if entry[0] == job]:
            self.reading.remove(entry)
            os.close(entry[1])
        if job in self.uploads:
            self.uploads.pop(job).close()
        if job in self.stdins:
            os.close(self.stdins.pop(job))

    def start(self, job: Job, argv: list[str], cwd: str, env: dict[str, str], stdin: int) -> None:
        """Spawn a job's first process, in its own session."""
        whole = dict(self.config["env"], **env)
        whole["MONASTERY_JOB"] = f"{os.getpid()}.{job.number}"
        program = find_program(argv[0], whole.get("PATH", ""))
        null = os.open("/dev/null", os.O_RDONLY) if stdin < 0 else stdin
        ends = [os.pipe()]
        if job.number:
            ends.append(os.pipe())
        targets = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, ends[0][1], 1)]
        targets.append((os.POSIX_SPAWN_DUP2, ends[-1][1], 2))
        reset = set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}
        try:
            os.chdir(self.mapped(cwd))
            job.pid = os.posix_spawn(
                program, argv, whole, file_actions=targets, setsid=True, setsigdef=reset
            )
        except BaseException:
            for read_end, _ in ends:
                os.close(read_end)
            raise
        finally:
            os.chdir("/")
            for _, write_end in ends:
                os.close(write_end)
            if stdin < 0:
                os.close(null)
        self.lead(job)
        for index, (read_end, _) in enumerate(ends):
            os.set_blocking(read_end, False)
            job.pipes[read_end] = index + 1
            self.source(read_end, functools.partial(self.drain, job, read_end, 1))

    def lead(self, job: Job) -> None:
        """Note the first process of a job that was just spawned."""
        try:  # When memory runs out the kernel should take a command and not the guest.
            with open(f"/proc/{job.pid}/oom_score_adj", "w") as file:
                file.write("1000")
        except OSError:
            pass
        self.leaders[job.pid] = job

    # Terminals.

    def do_shell(
        self, job: int, argv: list[str], env: dict[str, str], rows: int, columns: int, credit: int
    ) -> None:
        """Start a command on a terminal; what it shows is sent as far as there is credit."""
        made = Terminal(job, credit)
        try:
            self.start_on_terminal(made, argv, env, rows, columns)
        except (OSError, ValueError) as error:
            self.refuse(job, f"cannot run {argv[0]!r} on a terminal: {explain(error)}")

    def start_on_terminal(
        self, job: Terminal, argv: list[str], env: dict[str, str], rows: int, columns: int
    ) -> None:
        """Spawn a job whose terminal is its session's."""
        whole = dict(self.config["env"], **env)
        whole["MONASTERY_JOB"] = f"{os.getpid()}.{job.number}"
        program = find_program(argv[0], whole.get("PATH", ""))
        job.screen, other = os.openpty()
        try:
            set_size(job.screen, rows, columns)
            # Who leads a session and opens a terminal has it as the session's own.
            targets: list[tuple[Any, ...]] = [
                (os.POSIX_SPAWN_OPEN, 0, os.ttyname(other), os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, 0, 2),
            ]
            reset = set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}
            os.chdir(self.work)
            job.pid = os.posix_spawn(
                program, argv, whole, file_actions=targets, setsid=True, setsigdef=reset
            )
            job.keyboard = os.dup(job.screen)
        except BaseException:
            os.close(job.screen)
            raise
        finally:
            os.chdir("/")
            os.close(other)
        self.lead(job)
        os.set_blocking(job.screen, False)
        self.source(job.screen, functools.partial(self.show, job))

    def show(self, job: Terminal, mask: int = 0) -> None:
        """Pass on what a terminal shows; while there is no room, or nothing to come, forget it."""
        try:
            data = os.read(job.screen, min(1 << 14, job.credit))
        except BlockingIOError:
            return
        except OSError:  # nobody has its other end any more
            data = b""
        job.credit -= len(data)
        if data:
            job.seen[1] += len(data)
            self.say(b'{"op":"data","job":%d,"fd":1,"data":"%s"}\n' % (job.number, base64(data)))
        if not data or not job.credit:
            self.forget(job.screen)

    def terminal(self, number: int) -> Terminal | None:
        """Return the terminal of a job that lives."""
        for job in self.leaders.values():
            if job.number == number and isinstance(job, Terminal):
                return job
        return None

    def do_more(self, job: int, credit: int) -> None:
        """Hear that the runtime has room for more of what a terminal shows."""
        made = self.terminal(job)
        if made is not None:
            made.credit += credit
            if made.screen not in self.sources:
                self.source(made.screen, functools.partial(self.show, made))

    def do_size(self, job: int, rows: int, columns: int) -> None:
        """Make a terminal larger or smaller."""
        made = self.terminal(job)
        if made is not None:
            set_size(made.screen, rows, columns)

    def do_type(self, job: int, data: str) -> None:
        """Type on a terminal; what is more than anyone would is dropped."""
        made = self.terminal(job)
        if made is not None and len(made.typed) < TYPED_BYTES:
            made.typed += binascii.a2b_base64(data)
            if not made.is_typing:
                self.type_on(made)

    def type_on(self, job: Terminal, mask: int = 0) -> None:
        """Write what the terminal takes, and the rest when it takes more."""
        try:
            while job.typed:
                del job.typed[: os.write(job.keyboard, job.typed[:4096])]
        except BlockingIOError:
            pass
        except OSError:
            job.typed.clear()
        if bool(job.typed) != job.is_typing:
            job.is_typing = bool(job.typed)
            if job.is_typing:
                callback = functools.partial(self.type_on, job)
                self.selector.register(job.keyboard, selectors.EVENT_WRITE, callback)
            else:
                self.selector.unregister(job.keyboard)

    def close_terminal(self, job: Terminal) -> None:
        """Pass on the last that it showed, as far as there is room, and let go of it."""
        seen = -1
        while job.credit and job.seen[1] != seen:
            seen = job.seen[1]
            self.show(job)
        self.forget(job.screen)
        if job.is_typing:
            self.selector.unregister(job.keyboard)
        os.close(job.screen)
        os.close(job.keyboard)

    def drain(self, job: Job, end: int, reads: int, mask: int = 0) -> None:
        """Pass on what a job wrote, at most so many reads of it."""
        for _ in range(reads):
            try:
                data = os.read(end, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self.forget(end)
                del job.pipes[end]
                os.close(end)
                return
            if job.forgotten:
                continue
            if job.number == 0:
                self.printed_bytes += len(data)
                self.say(b'{"op":"print","data":"%s"}\n' % base64(data))
                continue
            fd = job.pipes[end]
            keep = data[: max(0, job.limit_bytes - job.seen[fd])]
            job.seen[fd] += len(data)
            if keep:
                line = b'{"op":"data","job":%d,"fd":%d,"data":"%s"}\n'
                self.say(line % (job.number, fd, base64(keep)))

    def expire(self) -> None:
        """End the commands whose time is over."""
        now = time.monotonic()
        for pid, job in self.leaders.items():
            if job.deadline is not None and job.deadline <= now:
                job.timed_out, job.deadline = True, None
                os.kill(pid, signal.SIGKILL)

    def reap(self) -> None:
        """Collect every child that ended; orphans of the box are our children too."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.server and self.http is not None:
                self.server = 0
                self.selector.register(self.http.fileno(), selectors.EVENT_READ, self.start_server)
            job = self.leaders.pop(pid, None)
            if job is not None:
                signalled = os.WIFSIGNALED(status)
                code = -os.WTERMSIG(status) if signalled else os.WEXITSTATUS(status)
                self.ended.append((job, code))

    def finish(self, job: Job, code: int) -> None:
        """End what a job left behind, then tell how it ended."""
        self.sweep()
        for end in list(job.pipes):
            self.drain(job, end, 64)
            if end in job.pipes:
                self.forget(end)
                os.close(end)
        if isinstance(job, Terminal):
            self.close_terminal(job)
        if job.number == 0:
            self.agent, self.exited = None, code
            self.close_gateway()
            self.say(b'{"op":"exited","code":%d}\n' % code)
            return
        if job.forgotten:
            return
        said = b"null" if job.timed_out else b"%d" % code
        line = b'{"op":"ended","job":%d,"code":%s,"out":%d,"err":%d}\n'
        self.say(line % (job.number, said, job.seen[1], job.seen[2]))

    def sweep(self) -> None:
        """Kill every process that belongs to no living job, until none is left.

        Orphans become our children, so what a dead job left hangs below a child of ours that is
        no leader. A living job's orphans (a server that the agent put in the background) are
        known by the mark in their environment; who takes it off is swept away with the others.
        """
        deadline = time.monotonic() + KILL_SECONDS
        stopped: set[int] = set()
        while True:
            self.reap()
            strays = self.strays()
            if not strays:
                return
            if time.monotonic() > deadline:
                sys.exit(f"processes {sorted(strays)[:9]!r} cannot be killed")
            if self.init and not self.leaders:
                os.kill(-1, signal.SIGKILL)  # at once, so no fork loop runs away from it
            elif strays <= stopped:
                for pid in strays:
                    send(pid, signal.SIGKILL)
                stopped.clear()
            else:  # The stopped ones keep their places in the box's process limit.
                for pid in strays - stopped:
                    send(pid, signal.SIGSTOP)
                stopped |= strays
                continue
            time.sleep(0.0002)

    def strays(self) -> set[int]:
        """Return the processes that belong to no living job."""
        roots = [pid for pid in children_of(os.getpid()) if pid not in self.leaders]
        marks = {b"MONASTERY_JOB=%d.%d" % (os.getpid(), j.number) for j in self.leaders.values()}
        environments = {pid: environment_of(pid) for pid in roots}
        bare = [pid for pid, one in environments.items() if not any(one)]
        if bare and marks:
            time.sleep(0.002)  # a process has none for a moment while a program takes its place
            environments.update((pid, environment_of(pid)) for pid in bare)
        roots = [pid for pid in roots if not marks & environments[pid]]
        if not roots:
            return set()
        below: dict[int, list[int]] = {}
        for pid, parent in parents().items():
            below.setdefault(parent, []).append(pid)
        found: set[int] = set()
        while roots:
            pid = roots.pop()
            found.add(pid)
            roots += below.get(pid, [])
        return found

    # Files.

    def do_ping(self, job: int) -> None:
        """Answer, to show that we are there."""
        self.done(job)

    def do_read(self, job: int, path: str, limit_bytes: int) -> None:
        """Send a regular file."""
        try:
            folder, name = self.walk(path, make=False)
            try:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
                fd = os.open(name, flags, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError as error:
            self.refuse(job, f"cannot read {path!r} in the box: {explain(error)}")
            return
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(fd)
            self.refuse(job, f"cannot read {path!r} in the box: not a regular file")
        elif status.st_size > limit_bytes:
            os.close(fd)
            size = status.st_size
            self.refuse(job, f"{path!r} in the box has {size} bytes, more than {limit_bytes}")
        else:
            self.reading.append((job, fd, limit_bytes))

    def read_on(self) -> None:
        """Send the next chunk of the file whose turn it is."""
        job, fd, left_bytes = self.reading.pop(0)
        try:
            data = os.read(fd, min(CHUNK_BYTES, left_bytes + 1))
        except OSError as error:
            os.close(fd)
            self.refuse(job, f"cannot read on: {error.strerror}")
            return
        if len(data) > left_bytes:
            os.close(fd)
            self.refuse(job, "the file grew past the limit while it was read")
        elif data:
            self.say(b'{"op":"data","job":%d,"fd":0,"data":"%s"}\n' % (job, base64(data)))
            self.reading.append((job, fd, left_bytes - len(data)))
        else:
            os.close(fd)
            self.done(job)

    def do_stdin(self, job: int, data: str) -> None:
        """Keep a part of the stdin of a command that is yet to come."""
        if job not in self.stdins:
            self.stdins[job] = os.memfd_create("stdin")
        write_all(self.stdins[job], binascii.a2b_base64(data))

    def do_write(self, job: int, path: str, mode: int) -> None:
        """Begin to write a file, beside its place: it appears there when it is whole."""
        try:
            folder, name = self.walk(path, make=True)
            self.uploads[job] = Upload(folder, name, path, mode, f".monastery-{job}")
        except OSError as error:
            self.refuse(job, f"cannot write {path!r} in the box: {explain(error)}")

    def do_chunk(self, job: int, data: str, last: bool) -> None:
        """Write the next part of a file."""
        upload = self.uploads.get(job)
        if upload is None:
            return  # refused already
        try:
            write_all(upload.fd, binascii.a2b_base64(data))
            if last:
                upload.put_in_place()
        except OSError as error:
            self.refuse(job, f"cannot write {upload.path!r} in the box: {explain(error)}")
            last = True
        else:
            if last:
                self.done(job)
        if last:
            self.uploads.pop(job).close()

    def mapped(self, path: str) -> str:
        """Return where a path lies: relative ones and /work in the work folder."""
        whole = os.path.join("/work", path)
        return self.work + whole[5:] if whole == "/work" or whole.startswith("/work/") else whole

    def walk(self, path: str, *, make: bool) -> tuple[int, str]:
        """Open the folder that a path leads to, following no symbolic link on the way."""
        whole = self.mapped(path)
        start = self.work if whole.startswith(self.work + "/") else "/"
        names = [name for name in whole[len(start) :].split("/") if name not in ("", ".")]
        if not names or ".." in names:
            raise OSError(errno.EINVAL, "not a plain path to a file")
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
        folder = os.open(start, os.O_RDONLY | os.O_DIRECTORY)
        for name in names[:-1]:
            try:
                try:
                    below = os.open(name, flags, dir_fd=folder)
                except FileNotFoundError:
                    if not make:
                        raise
                    os.mkdir(name, 0o755, dir_fd=folder)
                    below = os.open(name, flags, dir_fd=folder)
            finally:
                os.close(folder)
            folder = below
        return folder, names[-1]

    def done(self, job: int) -> None:
        """Say that it is done."""
        self.say(b'{"op":"done","job":%d}\n' % job)

    def refuse(self, job: int, why: str) -> None:
        """Say in one line why not."""
        text = base64(why.encode("utf-8", "backslashreplace"))
        self.say(b'{"op":"refused","job":%d,"why":"%s"}\n' % (job, text))

    # Proposals, model calls and fetches.

    def open_door(self, mask: int) -> None:
        """Let a process in which has something to ask."""
        try:
            sock, _ = self.door.accept()
        except OSError:
            return
        if len(self.askers) >= SOCKETS:
            sock.close()
            return
        sock.setblocking(False)
        asker = Asker(sock)
        self.askers.add(asker)
        self.source(sock.fileno(), functools.partial(self.listen, asker))

    def listen(self, asker: Asker, mask: int = 0) -> None:
        """Take what an asker sends: one line of JSON, then as many bytes as it announced."""
        try:
            data = asker.sock.recv(CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.dismiss(asker)
        elif asker.call:
            self.pass_on(asker, data)
        else:
            asker.inbox += data
            head, newline, rest = asker.inbox.partition(b"\n")
            if newline:
                self.announce(asker, head, rest)
            elif len(head) > HEAD_BYTES:
                self.refuse_call(asker, "the first line is too long")

    def announce(self, asker: Asker, head: bytes, rest: bytes) -> None:
        """Check what is asked, and tell the runtime that it comes."""
        try:
            asked = json.loads(head)
            what, sizes = asked["what"], asked["sizes"]
            if not all(type(size) is int and size >= 0 for size in sizes) or not sizes:
                raise ValueError("sizes")
            asker.stays = asked.get("stays") is True
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self.refuse_call(asker, "the first line is not a request")
            return
        fault = self.fault(what, sizes)
        if not fault and len(head) > HEAD_BYTES:
            fault = "rationale and names are too long"
        full = "" if fault else self.why_full(what, sizes)
        if fault or full:
            self.refuse_call(asker, fault or full, busy=bool(full))
            return
        self.last_call += 1
        asker.call, asker.left_bytes = self.last_call, sum(sizes)
        if what == "propose":
            self.proposal = asker.call
        if not asker.left_bytes:
            self.catch_up()
        line = b'{"op":"call","call":%d,"what":"%s","size":%d,"head":"%s"}\n'
        line %= (asker.call, what.encode(), asker.left_bytes, base64(head))
        size = 0 if what == "propose" else asker.left_bytes
        self.calls[asker.call] = Call(asker, line, size)
        self.say(line)
        if rest:
            self.pass_on(asker, rest)

    def fault(self, what: Any, sizes: list[int]) -> str:
        """Return why this cannot be asked, or nothing."""
        if not self.config["calls"]:
            return "there is no runtime to ask in a copy of a box"
        if what == "propose":
            if self.proposal:
                return "a proposal is open already; wait for its outcome"
            limit = self.config["payload_bytes"]
            if sizes[0] > limit:
                return f"the payload has {sizes[0]} bytes, more than {limit}"
            if sum(sizes[1:]) > limit:
                return f"the evidence has {sum(sizes[1:])} bytes, more than {limit}"
        elif what == "model":
            limit = self.config["model_bytes"]
            if sum(sizes) > limit:
                return f"the model call has {sum(sizes)} bytes, more than {limit}"
        elif what == "web":
            if not self.config["web"]:
                return "this project has no cached web"
            if sum(sizes) > self.config["web"]:
                return f"the fetch has {sum(sizes)} bytes, more than {self.config['web']}"
        else:
            return "neither a proposal nor a model call nor a fetch"
        return ""

    def why_full(self, what: str, sizes: list[int]) -> str:
        """Return why there is no room for a call now, or nothing."""
        if len(self.calls) >= self.config["calls"]:
            return f"{len(self.calls)} calls are open already"
        open_bytes = sum(call.size for call in self.calls.values())
        if what != "propose" and open_bytes + sum(sizes) > self.config["open_bytes"]:
            return f"calls of {open_bytes} bytes are open already"
        return ""

    def pass_on(self, asker: Asker, data: bytes) -> None:
        """Hand a part of a call to the runtime."""
        data = data[: asker.left_bytes]
        if not data:
            return
        asker.left_bytes -= len(data)
        if not asker.left_bytes:
            self.catch_up()
        line = b'{"op":"part","call":%d,"data":"%s"}\n' % (asker.call, base64(data))
        if self.config["silence"]:
            self.calls[asker.call].lines.append(line)
        self.say(line)

    def catch_up(self) -> None:
        """Pass on what the agent printed before it asked, so that it belongs to this segment."""
        if self.agent is not None:
            for end in list(self.agent.pipes):
                self.drain(self.agent, end, 16)

    def pass_in(self, call: int, reply: bytes) -> None:
        """Pass an answer on to its asker, if it still lives."""
        made = self.calls.pop(call, None)
        if self.proposal == call:
            self.proposal, self.printed_bytes = 0, 0
        if made is not None and made.asker is not None:
            self.reply(made.asker, reply)

    def refuse_call(self, asker: Asker, why: str, *, busy: bool = False) -> None:
        """Tell an asker why not, and let it go: what it still sends is no request."""
        asker.stays = False
        self.reply(asker, json.dumps({"error": why, "busy": busy}).encode())

    def reply(self, asker: Asker, reply: bytes) -> None:
        """Send an asker its answer."""
        asker.reply = memoryview(reply + b"\n")
        self.write_reply(asker)

    def write_reply(self, asker: Asker, mask: int = 0) -> None:
        """Write what the asker's socket takes; after all of it hear it again, or let it go."""
        fd = asker.sock.fileno()
        try:
            asker.reply = asker.reply[asker.sock.send(asker.reply) :]
        except BlockingIOError:
            pass
        except OSError:
            asker.reply, asker.stays = memoryview(b""), False
        if asker.reply:
            if not asker.is_blocked:
                asker.is_blocked = True
                self.forget(fd)
                callback = functools.partial(self.write_reply, asker)
                self.selector.register(fd, selectors.EVENT_WRITE, callback)
            return
        if asker.is_blocked:
            asker.is_blocked = False
            self.selector.unregister(fd)
            if asker.stays:
                self.source(fd, functools.partial(self.listen, asker))
        asker.inbox, asker.call, asker.left_bytes = b"", 0, 0
        if not asker.stays:
            self.forget(fd)
            self.askers.discard(asker)
            asker.sock.close()

    def dismiss(self, asker: Asker) -> None:
        """Forget an asker that hung up; a proposal that it made whole is judged all the same."""
        self.forget(asker.sock.fileno())
        self.askers.discard(asker)
        asker.sock.close()
        if asker.call and asker.call in self.calls:
            self.calls[asker.call].asker = None
            if not asker.left_bytes and self.proposal != asker.call:
                # It stays open until the runtime, which may have answered it, closes it.
                line = b'{"op":"cancelled","call":%d}\n' % asker.call
                self.calls[asker.call].lines.append(line)
                self.say(line)
            if asker.left_bytes:
                del self.calls[asker.call]
                self.say(b'{"op":"dropped","call":%d}\n' % asker.call)
                if self.proposal == asker.call:
                    self.proposal = 0


def sealed(key: bytes, place: int, line: bytes) -> bytes:
    """Return the seal of a line, which shows that we and nobody else wrote it, at this place."""
    import hashlib  # where nobody else can write, nobody waits for it

    inner = place.to_bytes(8, "big") + line[:-1]
    return hashlib.blake2b(inner, key=key, digest_size=16).hexdigest().encode()


def base64(data: bytes) -> bytes:
    """Encode bytes for a line."""
    return binascii.b2a_base64(data, newline=False)


def explain(error: Exception) -> str:
    """Say what an error of a file or a command means here."""
    if isinstance(error, OSError):
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            return "a part of the path is a symbolic link or no folder"
        return error.strerror or str(error)
    return str(error)


def set_size(terminal: int, rows: int, columns: int) -> None:
    """Say how large a terminal is; what runs on it is told by the kernel."""
    import fcntl  # where nobody has a terminal, nobody waits for these
    import struct
    import termios

    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def write_all(fd: int, data: bytes) -> None:
    """Write to a file until all is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def find_program(name: str, path: str) -> str:
    """Find a program as a shell would, in the environment it is to run in."""
    if "/" in name:
        return name
    for folder in path.split(":"):
        candidate = os.path.join(folder, name)
        if folder and os.access(candidate, os.X_OK) and os.path.isfile(candidate):
            return candidate
    raise FileNotFoundError(errno.ENOENT, "no such command", name)


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def children_of(pid: int) -> list[int]:
    """Return a single-threaded process's children."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(number) for number in file.read().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return [child for child, parent in parents().items() if parent == pid]


def parents() -> dict[int, int]:
    """Return every process's parent."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    found[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
    return found


def environment_of(pid: int) -> set[bytes]:
    """Return the environment that a process was started with; nothing when it may not be seen."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return set(file.read().split(b"\0"))
    except OSError:
        return set()
