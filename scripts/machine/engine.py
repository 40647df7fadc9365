"""Make sure that a Docker engine answers: the one that is there, or one that we start."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .debian import Machine, has_package
from .telling import Failed, Unfit, ask, last_lines, run, say, taking

DEFAULT_HOST = "unix:///var/run/docker.sock"
_LOG = Path("/var/log/monastery-dockerd.log")
_PID = Path("/run/monastery-dockerd.pid")
_START_SECONDS = 60.0

_START = ("--live-restore",)
"""Boxes live on when the engine dies, and the next engine takes them over."""
_START_WITHOUT_NETWORK = (*_START, "--bridge=none", "--iptables=false", "--ip6tables=false")
"""Enough for us: boxes have no network anyway."""


def docker_environment() -> dict[str, str]:
    """Return the environment in which `docker` talks to the engine that the runtime will use.

    The command would follow its current context; the runtime follows DOCKER_HOST only. Naming the
    host makes both mean the same engine.
    """
    sbin = os.environ.get("PATH", os.defpath) + ":/usr/local/sbin:/usr/sbin:/sbin"
    host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    return os.environ | {"DOCKER_HOST": host, "PATH": sbin}


def ensure_engine(machine: Machine) -> bool:
    """Return when a Docker engine answers: whether it had to be started.

    Raises:
        Unfit: None does and none could be started, or it is not ours to start one.
    """
    if engine_version() is not None:
        return False
    chosen = os.environ.get("DOCKER_HOST")
    if not _find("docker") or not (chosen or _find("dockerd")):
        _install(machine)
        if engine_version() is not None:
            return True
    if chosen:
        mend = "start it, or unset the variable"
        raise Unfit(f"no Docker engine answers at DOCKER_HOST={chosen!r}; {mend}")
    if not machine.may_install:
        raise Unfit(f"no Docker engine answers at {DEFAULT_HOST}; {_how_to_start()}")
    if Path("/run/systemd/system").exists():
        _start_service()
    else:
        _start_daemon()
    return True


def engine_version() -> str | None:
    """Return the version of the engine that answers, or None."""
    argv = ["docker", "version", "--format", "{{.Server.Version}}"]
    return ask(argv, timeout_seconds=20, env=docker_environment()) or None


def stop_engine() -> None:
    """Stop the engine that set-up started on this machine; leave any other alone.

    Raises:
        Unfit: It did not end.
    """
    process = _Process.recorded()
    if process is None:
        say("no engine was started by set-up: none is stopped")
        return
    os.kill(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + _START_SECONDS
    while process.lives():
        if time.monotonic() > deadline:
            raise Unfit(f"dockerd (pid {process.pid}) does not end; its log: {_LOG}")
        time.sleep(0.1)
    _PID.unlink(missing_ok=True)
    say(f"stopped the Docker engine (pid {process.pid})")


def missing_cgroups(mountinfo: str, cgroups: str) -> list[tuple[str, str, str]]:
    """Return the mounts that an engine needs and this machine lacks.

    Args:
        mountinfo: The text of /proc/self/mountinfo.
        cgroups: The text of /proc/cgroups: name, hierarchy, number of groups, enabled.

    Returns:
        Each as (file system type, options, folder), in order. Empty where nothing is missing.
    """
    top = "/sys/fs/cgroup"
    mounts = [_mount(line) for line in mountinfo.splitlines() if " - " in line]
    at_top = {kind for kind, folder, _ in mounts if folder == top}
    if "cgroup2" in at_top:
        return []
    hierarchies: dict[str, list[str]] = {}
    for line in cgroups.splitlines():
        name, hierarchy, _, enabled = line.split()
        if not line.startswith("#") and enabled == "1":
            # A controller that shares its hierarchy with others can only be mounted with them.
            hierarchies.setdefault(hierarchy if hierarchy != "0" else name, []).append(name)
    mounted = {option for kind, _, options in mounts if kind == "cgroup" for option in options}
    if not mounted and not any(key.isdigit() for key in hierarchies):
        return [("cgroup2", "rw", top)]
    needed = {"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "memory", "pids"}
    lacking = [
        ",".join(names) for names in hierarchies.values() if needed.intersection(names) - mounted
    ]
    base = [] if at_top or not lacking else [("tmpfs", "mode=755", top)]
    return base + [("cgroup", names, f"{top}/{names}") for names in lacking]


def _mount(line: str) -> tuple[str, str, list[str]]:
    before, after = line.split(" - ", 1)
    return after.split()[0], before.split()[4], after.split()[-1].split(",")


def _find(program: str) -> str | None:
    return shutil.which(program, path=docker_environment()["PATH"])


def _install(machine: Machine) -> None:
    # Newer Debian keeps the command in a package of its own.
    command = ["docker-cli"] if machine.may_install and has_package("docker-cli") else []
    machine.install(
        "docker.io", "iptables", *command, lacking="there is no Docker engine", about_seconds=40
    )


def _how_to_start() -> str:
    """Name the mend that fits: another context's engine, or starting one."""
    context = ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    other = ask(context, timeout_seconds=10)
    if other and other != DEFAULT_HOST:
        return f"your docker command uses another one: export DOCKER_HOST={other}"
    return "start it (as root: systemctl start docker), or set DOCKER_HOST to one that runs"


def _start_service() -> None:
    try:
        with taking("starting the Docker service", about_seconds=5):
            run(["systemctl", "start", "docker"], timeout_seconds=_START_SECONDS)
            deadline = time.monotonic() + _START_SECONDS
            while engine_version() is None:
                if time.monotonic() > deadline:
                    why = "it runs but does not answer"
                    raise Unfit(f"the Docker service is broken: {why}; see journalctl -u docker")
                time.sleep(0.2)
    except Failed as exc:
        raise Unfit(f"the Docker service is broken: {exc}; see journalctl -u docker") from exc


def _start_daemon() -> None:
    _mount_cgroups()
    with taking("starting the Docker engine", about_seconds=3):
        why = _start_with(_START)
        if why is not None:
            say(f"no engine with a network ({why}); boxes need none: trying one without")
            why = _start_with(_START_WITHOUT_NETWORK)
    if why is not None:
        raise Unfit(f"dockerd does not come up: {why} (all of it: {_LOG})")


def _start_with(options: Sequence[str]) -> str | None:
    """Start dockerd away from our terminal; return None when it answers, else why it does not."""
    with _LOG.open("ab") as log:
        begin = log.seek(0, os.SEEK_END)
        daemon = subprocess.Popen(
            ["dockerd", *options],
            cwd="/",
            env=os.environ | {"PATH": docker_environment()["PATH"]},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _Process.record(daemon.pid)
    deadline = time.monotonic() + _START_SECONDS
    while daemon.poll() is None and time.monotonic() < deadline:
        if engine_version() is not None:
            return None
        time.sleep(0.2)
    if daemon.poll() is None:
        daemon.terminate()
        daemon.wait(timeout=_START_SECONDS)
    _PID.unlink(missing_ok=True)
    told = last_lines(_LOG, begin)
    return told[max(told.find("failed to start daemon"), 0) :]


def _mount_cgroups() -> None:
    """Mount the control groups that an engine needs, on machines that come up without."""
    mountinfo = Path("/proc/self/mountinfo").read_text()
    missing = missing_cgroups(mountinfo, Path("/proc/cgroups").read_text())
    for kind, options, folder in missing:
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            run(["mount", "-t", kind, "-o", options, "cgroup", folder], timeout_seconds=10)
        except (OSError, Failed) as exc:
            mend = "mount the control groups from outside"
            raise Unfit(f"{folder} is not mounted and cannot be: {exc}; {mend}") from exc
    if missing:
        say(f"mounted the control groups: {', '.join(folder for _, _, folder in missing)}")


@dataclass(frozen=True)
class _Process:
    """A process, told apart from a later one of the same number by when it started."""

    pid: int
    started: str

    @classmethod
    def record(cls, pid: int) -> None:
        _PID.write_text(f"{pid} {_started(pid)}\n")

    @classmethod
    def recorded(cls) -> "_Process | None":
        try:
            pid, started = _PID.read_text().split()
        except (OSError, ValueError):
            return None
        process = cls(int(pid), started)
        return process if process.lives() else None

    def lives(self) -> bool:
        return _started(self.pid) == self.started


def _started(pid: int) -> str:
    """Return when a process started, in clock ticks since boot; "" when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]
