"""Install what the machine lacks, where that is ours to do: on Debian and its kin, as root."""

import contextlib
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .telling import Failed, Unfit, run, taking

_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_SERVICES = "#!/bin/sh\n# Set-up starts what it needs; packages shall not.\nexit 101\n"


@dataclass(frozen=True)
class Machine:
    """What may be done to this machine: found out once, handed to whoever needs it."""

    may_install: bool
    """Whether missing system packages are installed, or only named."""
    has_apt: bool
    """Whether the mend is an apt-get command."""

    @classmethod
    def here(cls, *, no_install: bool = False) -> "Machine":
        """Look at the machine that this runs on."""
        try:
            release = platform.freedesktop_os_release()
        except OSError:
            release = {}
        family = {release.get("ID"), *release.get("ID_LIKE", "").split()}
        has_apt = "debian" in family and shutil.which("apt-get") is not None
        return cls(may_install=has_apt and os.geteuid() == 0 and not no_install, has_apt=has_apt)

    def install(self, *packages: str, lacking: str, about_seconds: float) -> None:
        """Install system packages.

        Args:
            packages: Names as Debian spells them.
            lacking: What is not there, as the subject of the line that a person reads.
            about_seconds: How long it takes on a usual machine.

        Raises:
            Unfit: It is not ours to install here, or the packages could not be had.
        """
        wanted = " ".join(packages)
        if not self.may_install:
            how = f"as root: apt-get install {wanted}" if self.has_apt else "install it"
            raise Unfit(f"{lacking}; {how}")
        install = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
        with taking(f"{lacking}: installing {wanted}", about_seconds=about_seconds), _no_services():
            try:
                _apt(install)
            except Failed:
                # Package lists are missing or old on a fresh machine: only then are they fetched.
                try:
                    _apt(["apt-get", "update"])
                    _apt(install)
                except Failed as exc:
                    raise Unfit(f"{lacking}, and {wanted} could not be installed: {exc}") from exc


def ensure_sshd(machine: Machine) -> None:
    """Return when there are OpenSSH's client and server; none is started.

    Raises:
        Unfit: They are not there, and it is not ours to install them.
    """
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/usr/local/sbin"
    if not all(shutil.which(name, path=path) for name in ("sshd", "ssh", "ssh-keygen")):
        machine.install(
            "openssh-server",
            "openssh-client",
            lacking="there is no sshd, which tests start",
            about_seconds=10,
        )


def ensure_chromium(machine: Machine) -> None:
    """Return when there are Chromium and its driver, for the tests of the desk's pages.

    Raises:
        Unfit: They are not there, and it is not ours to install them.
    """
    if not all(shutil.which(name) for name in ("chromium", "chromedriver")):
        machine.install(
            "chromium",
            "chromium-driver",
            "fonts-dejavu-core",
            lacking="there is no Chromium with its driver, which tests open pages in",
            about_seconds=60,
        )


def has_package(name: str) -> bool:
    """Whether this machine's package lists know a package that can be installed."""
    try:
        run(["apt-cache", "show", "--no-all-versions", name], timeout_seconds=60)
    except Failed:
        return False
    return True


def _apt(argv: list[str]) -> None:
    quiet = {
        "DEBIAN_FRONTEND": "noninteractive",
        "NEEDRESTART_SUSPEND": "1",
        "LC_ALL": "C.UTF-8",
    }
    lock = ["-o", "DPkg::Lock::Timeout=300"]
    run([*argv, *lock], timeout_seconds=1200, env=os.environ | quiet)


@contextlib.contextmanager
def _no_services() -> Iterator[None]:
    """Keep packages from starting daemons where no init system would look after them."""
    if Path("/run/systemd/system").exists() or _POLICY.exists():
        yield
        return
    _POLICY.write_text(_NO_SERVICES)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
