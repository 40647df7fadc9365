"""Each line of a box's configuration is needed: taken away or weakened, a probe fails."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.records import BoxSpec
from monastery.sandbox import bait as baits
from monastery.sandbox import conformance, examine, hardening, seccomp
from monastery.sandbox.conformance import LIMITS
from monastery.sandbox.engine import Engine
from tests.containment.conftest import Config, Mutate, Mutating


def hosts(**changes: Any) -> Mutate:
    """Change lines of the "HostConfig"."""

    def mutate(config: Config) -> None:
        config["HostConfig"].update(changes)

    return mutate


def own(**changes: Any) -> Mutate:
    """Change other lines."""
    return lambda config: config.update(changes)


def _bridge(config: Config) -> None:
    config["HostConfig"]["NetworkMode"] = "bridge"


def _without_option(start: str) -> Mutate:
    def mutate(config: Config) -> None:
        options = config["HostConfig"]["SecurityOpt"]
        kept = [option for option in options if not option.startswith(start)]
        assert len(kept) == len(options) - 1
        config["HostConfig"]["SecurityOpt"] = kept
        if start == "seccomp":
            kept.append("seccomp=unconfined")

    return mutate


def _ulimit(name: str, value: int) -> Mutate:
    def mutate(config: Config) -> None:
        (limit,) = [one for one in config["HostConfig"]["Ulimits"] if one["Name"] == name]
        limit.update(Soft=value, Hard=value)

    return mutate


def _tmpfs(folder: str, old: str, new: str) -> Mutate:
    def mutate(config: Config) -> None:
        options = config["HostConfig"]["Tmpfs"]
        parts = [part for part in options[folder].split(",") if not part.startswith(old)]
        assert len(parts) < len(options[folder].split(","))
        options[folder] = ",".join([*parts, *([new] if new else [])])

    return mutate


def _endless_files(folder: str) -> Mutate:
    return _tmpfs(folder, "nr_inodes", "nr_inodes=0")


def _root(config: Config) -> None:
    config["User"] = "0:0"
    _tmpfs("/run", "uid=", "uid=0")(config)  # else its guest does not come up: root has no rights


def _no_memory_limit(config: Config) -> None:
    config["HostConfig"].update(Memory=0, MemorySwap=0)


MUTATIONS: dict[str, tuple[Mutate, str]] = {
    "HostConfig.NetworkMode": (_bridge, "TCP outside"),
    "HostConfig.Dns": (hosts(Dns=[]), "host's names"),
    "HostConfig.IpcMode": (hosts(IpcMode="host"), "host's shared memory"),
    "HostConfig.CgroupnsMode": (hosts(CgroupnsMode="host"), "container's name"),
    "HostConfig.CapDrop": (hosts(CapDrop=[]), "capabilities bounding"),
    "HostConfig.SecurityOpt: no-new-privileges": (_without_option("no-new"), "new privileges"),
    "HostConfig.SecurityOpt: seccomp": (_without_option("seccomp"), "system call filter"),
    "HostConfig.ReadonlyRootfs": (hosts(ReadonlyRootfs=False), "root file system"),
    "HostConfig.MaskedPaths": (hosts(MaskedPaths=[]), "kernel files"),
    "HostConfig.ReadonlyPaths": (hosts(ReadonlyPaths=[]), "settings of the kernel"),
    "HostConfig.Init": (hosts(Init=True), "guest's stdout"),
    "HostConfig.Tmpfs: size of /tmp": (_tmpfs("/tmp", "size=", ""), "size of /tmp"),
    "HostConfig.Tmpfs: files of /tmp": (
        _tmpfs("/tmp", "nr_inodes", "nr_inodes=0"),
        "files in /tmp",
    ),
    "HostConfig.Tmpfs: setuid": (_tmpfs("/tmp", "nosuid", "suid"), "mounts that are writable"),
    "HostConfig.Tmpfs: devices": (_tmpfs("/run", "nodev", "dev"), "mounts that are writable"),
    "HostConfig.Tmpfs: size of /run": (_tmpfs("/run", "size=", ""), "size of /run"),
    "HostConfig.Tmpfs: files of /run": (
        _tmpfs("/run", "nr_inodes", "nr_inodes=0"),
        "files in /run",
    ),
    "HostConfig.ShmSize": (hosts(ShmSize=128 << 20), "size of /dev/shm"),
    "HostConfig.Memory": (_no_memory_limit, "memory"),
    "HostConfig.NanoCpus": (hosts(NanoCpus=0), "CPU"),
    "HostConfig.PidsLimit": (hosts(PidsLimit=0), "processes"),
    "HostConfig.Ulimits: nofile": (_ulimit("nofile", 10000), "open files"),
    "HostConfig.Ulimits: core": (_ulimit("core", 1 << 20), "core dumps"),
    "HostConfig.Ulimits: fsize": (_ulimit("fsize", 1 << 30), "length of a file"),
    "User": (_root, "user and groups"),
    "Hostname": (own(Hostname=""), "container's name"),
}
"""What is changed, and the probe that must fail then."""

ELSEWHERE = {
    "HostConfig.LogConfig": "test_an_engine_that_logs_is_found",
    "HostConfig.MemorySwap": "test_swap_beyond_memory_is_found",
    "HostConfig.RestartPolicy": "test_a_box_that_ended_stays_so",
    "HostConfig.DnsSearch": "test_a_search_domain_is_told_without_its_line",
    "HostConfig.Mounts": "test_every_line_is_compared",
    "StdinOnce": "test_a_box_ends_with_its_runtime",
    "OpenStdin": "test_a_box_ends_with_its_runtime",
    "Healthcheck": "test_what_the_image_wants_is_not_done",
    "Entrypoint": "test_what_the_image_wants_is_not_done",
    "Cmd": "test_what_the_image_wants_is_not_done",
}
"""Lines of which other tests and not probes inside a box tell what they are for."""

NOT_CONTAINMENT = {
    *("Image", "WorkingDir", "Env", "Labels", "AttachStdin", "AttachStdout", "AttachStderr", "Tty"),
    "HostConfig",
}


@pytest.mark.parametrize("line", MUTATIONS)
async def test_a_box_without_this_line_fails(opened, line) -> None:
    """The probe that the line is for fails without it, by name."""
    mutate, probe = MUTATIONS[line]
    with baits.bait(["172.17.0.1"]) as bait:
        async with opened(mutate) as box:
            (found,) = await conformance.ask(box, bait, only=[probe])
    assert found.verdict == "fails", found


def test_every_line_is_accounted_for() -> None:
    """A line added to the configuration needs a mutation, or a reason why it has none."""
    config = hardening.container_config(BoxSpec("x", LIMITS), argv=[], volume="v", labels={})
    lines = {*config, *(f"HostConfig.{key}" for key in config["HostConfig"])}
    known = {name.partition(":")[0] for name in MUTATIONS}
    assert lines == known | {*ELSEWHERE} | NOT_CONTAINMENT
    others = [Path(__file__).parent / f"test_{name}.py" for name in ("settings", "engines")]
    there = [*globals(), *"".join(other.read_text() for other in others).split()]
    assert all(any(one.startswith(name) for one in there) for name in ELSEWHERE.values())
    assert {one["Name"] for one in config["HostConfig"]["Ulimits"]} == {
        name.partition("Ulimits: ")[2] for name in MUTATIONS if "Ulimits" in name
    }


async def test_an_engine_that_logs_is_found(opened) -> None:
    """With the engine's usual log a box could fill the host's disk by printing."""
    engine = Engine()
    await engine.connect()
    async with opened(hosts(LogConfig={"Type": "json-file", "Config": {}})) as box:
        found = await examine.no_log(box, engine)
    assert found.verdict == "fails", found


@pytest.mark.parametrize(("once", "ends"), [(True, True), (False, False)])
async def test_a_box_ends_with_its_runtime(image, once, ends) -> None:
    """When the runtime hangs up, what reads its stdin hears it, and only because of this line."""
    engine = Mutating(own(StdinOnce=once))
    await engine.connect()
    volume = await engine.create_volume("monastery-containment-once", {"monastery.run": "once"})
    config = hardening.container_config(
        BoxSpec(image, LIMITS), argv=["-c", "import sys; sys.stdin.read()"], volume=volume["Name"],
        labels={"monastery.run": "once"},
    )  # fmt: skip
    container = await engine.create(config)
    try:
        stream = await engine.attach(container)
        await engine.start(container)
        await stream.aclose()
        with trio.move_on_after(120 if ends else 1) as scope:
            await engine.wait(container)
        assert scope.cancelled_caught is not ends
    finally:
        await engine.remove(container)
        await engine.remove_volume(volume["Name"])


async def test_what_the_image_wants_is_not_done(opened, image) -> None:
    """An image's health check, entry point, user and volumes do not weaken a box made of it."""
    import docker

    client = docker.from_env()
    made = client.api.create_container(image)
    name = "monastery-containment-greedy:latest"
    client.api.commit(
        made["Id"], "monastery-containment-greedy", "latest",
        conf={
            "Healthcheck": {"Test": ["CMD-SHELL", "touch /tmp/healthy"], "Interval": 10**9},
            "Entrypoint": ["/bin/false"], "Cmd": ["--bad"], "User": "0:0",
            "Volumes": {"/greedy": {}}, "Env": ["GREEDY=1"],
        },
    )  # fmt: skip
    client.api.remove_container(made["Id"])
    try:
        async with opened(image=name) as box:
            result = await box.run(
                ["sh", "-c", "id -u; grep ' /greedy ' /proc/self/mountinfo; ls /tmp"]
            )
        uid, mount, *rest = result.stdout.decode().splitlines()
        assert uid == "1000"
        assert " tmpfs " in mount
        assert "healthy" not in rest
    finally:
        client.api.remove_image(name, force=True)
        client.close()


def _loosened(change: Any) -> Mutate:
    """Return a mutation of the list of system calls."""

    def mutate(config: Config) -> None:
        profile = json.loads(seccomp.profile_text())
        change(profile)
        config["HostConfig"]["SecurityOpt"] = [
            "no-new-privileges",
            f"seccomp={json.dumps(profile)}",
        ]

    return mutate


def _allowed(*names: str) -> Any:
    def change(profile: dict[str, Any]) -> None:
        for rule in profile["syscalls"]:
            rule["names"] = [name for name in rule["names"] if name not in names]
        profile["syscalls"] = [rule for rule in profile["syscalls"] if rule["names"]]
        profile["syscalls"].append({"names": list(names), "action": "SCMP_ACT_ALLOW"})

    return change


def _other_words(profile: dict[str, Any]) -> None:
    profile["archMap"][0]["subArchitectures"] = ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]


@pytest.mark.parametrize(
    ("change", "probe"),
    [
        (_allowed("unshare"), "unshare user"),
        (_allowed("keyctl"), "keyctl"),
        (_allowed("io_uring_setup"), "io_uring"),
        (_allowed("ptrace"), "ptrace"),
        (_allowed("msgget"), "every call not on the list"),
        (_allowed("socket"), "netlink socket"),
        (_allowed("socket"), "other protocols"),
        (_allowed("clone"), "clone into a namespace"),
        (_allowed("clone3"), "clone3"),
        (_allowed("personality"), "address randomisation off"),
        (_other_words, "32-bit system calls"),
    ],
)
async def test_a_looser_list_of_system_calls_fails(opened, change, probe) -> None:
    """Each condition, and samples of the calls: what is allowed by mistake is found."""
    with baits.bait() as bait:
        async with opened(_loosened(change)) as box:
            (found,) = await conformance.ask(box, bait, only=[probe])
    assert found.verdict == "fails", found


SILENT_CALLS = frozenset(
    """
    lookup_dcookie create_module get_kernel_syms query_module init_module finit_module
    delete_module kexec_load kexec_file_load iopl ioperm modify_ldt memfd_secret
    map_shadow_stack _sysctl nfsservctl uselib vserver tuxcall security afs_syscall getpmsg
    putpmsg epoll_ctl_old epoll_wait_old sysfs ustat lsm_get_self_attr lsm_set_self_attr
    lsm_list_modules statmount listmount open_tree_attr file_getattr file_setattr
    process_mrelease remap_file_pages
    """.split()  # noqa: SIM905 - a list to be read
)
"""Calls that this kernel was built without, or that answer ENOSYS to nonsense by themselves."""


async def test_every_denied_call_would_be_found(opened) -> None:
    """Without the list the kernel answers each call of it, but those that it does not have.

    Each number is tried by itself, so one call that is allowed by mistake is seen alone too.
    """
    with baits.bait() as bait:
        async with opened(_without_option("seccomp")) as box:
            (found,) = await conformance.ask(box, bait, only=["every call not on the list"])
    denied = {name for names in seccomp.DENIED.values() for name in names.split()}
    here = denied & set(seccomp.numbers()["x86_64"])
    assert here - set(found.seen.split(", ")) <= SILENT_CALLS


def test_the_list_is_the_one_that_its_page_derives() -> None:
    """seccomp.json is what seccomp.py says: change the page, then run it."""
    assert json.loads(seccomp.profile_text()) == seccomp.derive()


NOT_READABLE = frozenset(
    """
    /proc/acpi /proc/asound /proc/bus /proc/fb /proc/fs /proc/kcore /proc/latency_stats
    /proc/mdstat /proc/modules /proc/sched_debug /proc/schedstat /proc/scsi
    /proc/sysrq-trigger /proc/timer_stats /proc/dma /proc/kmsg /proc/locks /proc/swaps
    /proc/driver /sys/fs/bpf /sys/fs/pstore
    """.split()  # noqa: SIM905 - a list to be read
)
"""Masked folders that are empty here, and files that say nothing at the moment."""


async def test_every_mask_would_be_missed(opened) -> None:
    """Unmasked, and read by root, every file that this kernel has tells something."""

    def mutate(config: Config) -> None:
        config["HostConfig"].update(MaskedPaths=[], CapDrop=[])
        config["User"] = "0:0"

    with baits.bait() as bait:
        async with opened(mutate) as box:
            (found,) = await conformance.ask(box, bait, only=["kernel files"])
            there = await box.run(["sh", "-c", f"ls -d {' '.join(hardening.MASKED)} 2>/dev/null"])
    silent = set(there.stdout.decode().split()) - set(found.seen.split(", "))
    assert silent <= NOT_READABLE, silent - NOT_READABLE


@pytest.mark.parametrize("path", ["/proc/uptime", "/proc/kallsyms", "/sys/class", "/sys/kernel"])
async def test_one_mask_less_fails(opened, path) -> None:
    """A single line taken away is found, and named."""
    masked = [one for one in hardening.MASKED if one != path]
    with baits.bait() as bait:
        async with opened(hosts(MaskedPaths=masked)) as box:
            (found,) = await conformance.ask(box, bait, only=["kernel files"])
    assert (found.verdict, found.seen) == ("fails", path)


@pytest.mark.parametrize(
    ("path", "probe"),
    [
        ("/proc/sys", "settings of the kernel"),
        ("/proc/bus", "read-only /proc"),
        ("/proc/fs", "read-only /proc"),
        ("/proc/irq", "read-only /proc"),
    ],
)
async def test_one_read_only_path_less_fails(opened, path, probe) -> None:
    """Likewise; the mask over the same folder is taken away too, for it is read-only itself."""

    def mutate(config: Config) -> None:
        for key in ("MaskedPaths", "ReadonlyPaths"):
            config["HostConfig"][key] = [one for one in config["HostConfig"][key] if one != path]

    with baits.bait() as bait:
        async with opened(mutate) as box:
            (found,) = await conformance.ask(box, bait, only=[probe])
    assert found.verdict == "fails", found
