"""Ways out over a network: each is tried as far as the kernel's first answer, no packet is missed.

A connected datagram socket or a connection that is "in progress" shows a route without waiting for
anybody's answer; a refusal shows that something is there to refuse.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct
import time
from typing import Any

from monastery.sandbox.probes.attempt import (
    BARE,
    HOST,
    WEAK,
    Probe,
    Seen,
    closed,
    found,
    opened,
    reaches,
    refused,
)

_UP = 1
_TENTATIVE = 0x40
_SIOCGIFFLAGS, _SIOCSIFFLAGS = 0x8913, 0x8914
_KNOWN_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)


def _devices(given: dict[str, Any]) -> Seen:
    """Tell which network devices are up; tunnels that every namespace is born with are down."""
    with open("/proc/net/dev") as file:
        names = [line.split(":")[0].strip() for line in file.readlines()[2:]]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        up = [name for name in names if name != "lo" and _flags(door, name) & _UP]
    return found(up, "only lo")


def _flags(door: socket.socket, name: str) -> int:
    asked = struct.pack("16sH14s", name.encode(), 0, b"")
    return int(struct.unpack("16sH14s", fcntl.ioctl(door, _SIOCGIFFLAGS, asked))[1])


def _routes(given: dict[str, Any]) -> Seen:
    with open("/proc/net/route") as file:
        lines = [line.split() for line in file.readlines()[1:]]
    return found([f"{line[0]} to {line[1]}" for line in lines if line], "none")


def _tcp(family: int, host: str, port: int) -> Seen:
    """Begin a connection, and do not wait for its end."""
    with socket.socket(family, socket.SOCK_STREAM) as door:
        door.setblocking(False)
        try:
            door.connect((host, port))
        except OSError as exc:
            if exc.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM, errno.EACCES):
                return closed(refused(exc))
            if exc.errno == errno.EADDRNOTAVAIL:  # the family has no address to speak from
                return closed(refused(exc))
            return opened(f"{host}: {refused(exc)}")
    return opened(f"{host}: connected")


def _udp(family: int, address: Any, *, broadcast: bool = False) -> Seen:
    """Send one datagram."""
    with socket.socket(family, socket.SOCK_DGRAM) as door:
        if broadcast:
            door.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        try:
            door.sendto(b"monastery probe", address)
        except OSError as exc:
            return closed(refused(exc))
    return opened(f"sent to {address[0]}")


def _first_open(seens: list[Seen]) -> Seen:
    return next((seen for seen in seens if seen.open), seens[0] if seens else closed("none"))


def _tcp_outside(given: dict[str, Any]) -> Seen:
    return _first_open([_tcp(socket.AF_INET, host, 443) for host in ("192.0.2.1", "8.8.8.8")])


def _udp_outside(given: dict[str, Any]) -> Seen:
    return _udp(socket.AF_INET, ("192.0.2.1", 9))


def _dns(given: dict[str, Any]) -> Seen:
    """Ask every name server there could be; the engine's own answers on a loopback address."""
    servers = ["192.0.2.53"]
    if os.path.exists("/etc/resolv.conf"):
        with open("/etc/resolv.conf") as file:
            lines = [line.split() for line in file]
        servers += [line[1] for line in lines if line[:1] == ["nameserver"] and len(line) > 1]
    seens = [
        _udp(socket.AF_INET6 if ":" in server else socket.AF_INET, (server, 53))
        for server in servers
        if not server.startswith("127.")
    ]
    seens += [_asked(server) for server in ("127.0.0.11", "127.0.0.53", "127.0.0.1")]
    return _first_open(seens)


def _asked(server: str) -> Seen:
    question = b"\x12\x34\x01\x00\x00\x01" + bytes(6) + b"\x07example\x03com\x00\x00\x01\x00\x01"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        try:
            door.connect((server, 53))
            door.send(question)
            if not select.select([door], [], [], 2.0)[0]:
                return opened(f"{server} took the question")  # a closed port refuses at once
            door.recv(512)
        except OSError as exc:
            return closed(refused(exc))
    return opened(f"{server} answered")


def _icmp(given: dict[str, Any]) -> Seen:
    """Send an echo request, by the raw way and by the one that needs no right."""
    seens = []
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        try:
            with socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP) as door:
                door.sendto(b"\x08\x00\xf7\xff\x00\x00\x00\x00", ("192.0.2.1", 0))
        except OSError as exc:
            seens.append(closed(refused(exc)))
        else:
            seens.append(opened("an echo request was sent"))
    return _first_open(seens)


def _ipv6(given: dict[str, Any]) -> Seen:
    """Send to the outside and to every link's neighbours."""
    seens = [_tcp(socket.AF_INET6, "2001:db8::1", 443)]
    with open("/proc/net/dev") as file:
        names = [line.split(":")[0].strip() for line in file.readlines()[2:]]
    _settle()
    for name in names:
        if name != "lo":
            try:
                index = socket.if_nametoindex(name)
            except OSError:
                continue
            seens.append(_udp(socket.AF_INET6, ("ff02::1", 9, 0, index)))
    return _first_open(seens)


def _settle() -> None:
    """Wait until the kernel has made up its mind about the addresses that there are."""
    deadline = time.monotonic() + 3.0
    while os.path.exists("/proc/net/if_inet6") and time.monotonic() < deadline:
        with open("/proc/net/if_inet6") as file:
            if not any(int(line.split()[4], 16) & _TENTATIVE for line in file):
                return
        time.sleep(0.05)


def _broadcast(given: dict[str, Any]) -> Seen:
    everyone = _udp(socket.AF_INET, ("255.255.255.255", 9), broadcast=True)
    return _first_open([everyone, _udp(socket.AF_INET, ("224.0.0.251", 5353))])


def _metadata(given: dict[str, Any]) -> Seen:
    return _first_open([_tcp(socket.AF_INET, "169.254.169.254", 80), _udp_metadata()])


def _udp_metadata() -> Seen:
    return _udp(socket.AF_INET, ("169.254.169.254", 53))


def _gateway(given: dict[str, Any]) -> Seen:
    """Knock at the engine's gateways; being refused there is being routed there."""
    ports = (22, 53, 80, 443, 2375, 2376, 4243, 9)
    hosts = given["gateways"]
    return _first_open([_tcp(socket.AF_INET, host, port) for host in hosts for port in ports])


def _makes(family: int, kinds: tuple[int, ...], protocol: int = 0) -> Any:
    """Return an attempt at a socket of a family."""

    def attempt(given: dict[str, Any]) -> Seen:
        words = []
        for kind in kinds:
            try:
                socket.socket(family, kind, protocol).close()
            except OSError as exc:
                words.append(refused(exc))
            else:
                return opened("a socket was made")
        return closed(" ".join(sorted(set(words))))

    return attempt


def _families(given: dict[str, Any]) -> Seen:
    made = []
    for family in range(64):
        if family in _KNOWN_FAMILIES:
            continue
        for kind in (1, 2, 3, 5):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            made.append(f"family {family}")
            break
    return found(made, "none of 61")


def _protocols(given: dict[str, Any]) -> Seen:
    """Make streams and datagrams of protocols other than TCP and UDP."""
    made = []
    names = {1: "ICMP", 33: "DCCP", 58: "ICMPv6", 115: "L2TP", 132: "SCTP", 136: "UDP-Lite"}
    names[262] = "MPTCP"
    for protocol, name in names.items():
        for family in (socket.AF_INET, socket.AF_INET6):
            for kind in (1, 2, 5, 6):
                try:
                    socket.socket(family, kind, protocol).close()
                except OSError:
                    continue
                made.append(name)
    return found(sorted(set(made)), "none of 7")


def _settings(given: dict[str, Any]) -> Seen:
    """Set the loopback device's flags to what they are."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        try:
            fcntl.ioctl(door, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", _flags(door, "lo"), b""))
        except OSError as exc:
            return closed(refused(exc))
    return opened("the flags of lo were set")


def _abstract(given: dict[str, Any]) -> Seen:
    """Connect to an abstract socket on which the host listens while we try."""
    if given["abstract"] is None:
        return Seen("the engine is not on this machine: nobody listens", None)
    return _unix("\0" + given["abstract"])


def _unix(path: str) -> Seen:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(2.0)
        try:
            door.connect(path)
        except OSError as exc:
            return closed(refused(exc))
    return opened(f"connected to {path!r}")


def _neighbour(given: dict[str, Any]) -> Seen:
    """Connect to another box that listens while we try."""
    other = given["neighbour"]
    if other is None:
        return Seen("there is no other box", None)
    seens = [_unix("\0" + other["abstract"])]
    seens += [_tcp(socket.AF_INET, host, other["port"]) for host in other["addresses"]]
    return _first_open(seens)


PROBES = (
    Probe("network devices", "only lo", WEAK, _devices),
    Probe("routes", "none", WEAK, _routes),
    Probe("TCP outside", "unreachable", WEAK, _tcp_outside),
    Probe("UDP outside", "unreachable", WEAK, _udp_outside),
    Probe("DNS", "unreachable", WEAK, _dns),
    Probe("ICMP", "refused", WEAK, _icmp),
    Probe("IPv6 outside", "unreachable", WEAK, _ipv6),
    Probe("broadcast and multicast", "unreachable", WEAK, _broadcast),
    Probe("cloud metadata address", "unreachable", WEAK, _metadata),
    Probe("engine's gateway", "unreachable, not refused", WEAK, _gateway),
    Probe("raw socket", "refused", WEAK, _makes(socket.AF_INET, (3,), 255)),
    Probe("packet socket", "refused", WEAK, _makes(17, (2, 3))),
    Probe("netlink socket", "refused", WEAK, _makes(16, (2, 3))),
    Probe("vsock", "refused", BARE, _makes(40, (1, 2, 5)), "CONFIG_VSOCKETS"),
    Probe("AF_ALG", "refused", BARE, _makes(38, (5,)), "CONFIG_CRYPTO_USER_API_HASH"),
    Probe("other socket families", "none", WEAK, _families),
    Probe("other protocols", "none", WEAK, _protocols),
    Probe("network settings", "refused", BARE, _settings),
    Probe(
        "host's abstract sockets",
        "refused",
        HOST,
        _abstract,
    ),
    Probe("another box", "unreachable", WEAK, _neighbour),
    Probe("new network namespace", "refused", BARE, reaches("unshare", 0x40000000)),
)
"""What is tried against the network's walls."""
