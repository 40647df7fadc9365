"""Build the box image: from the Dockerfile where a registry answers, else with mmdebstrap.

Both ways read the same recipe and end in the same tag, which is the digest of the recipe.
"""

import hashlib
import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .debian import Machine
from .engine import docker_environment
from .telling import BUILD, ROOT, Failed, Unfit, ask, run, say, taking

RECIPE = ROOT / "scripts" / "image"
NAME = "monastery-box"
_REGISTRY_SECONDS = 6.0
"""How long a registry has to begin its answer before the other way is taken."""


def ensure_image(machine: Machine, ways: tuple[str, ...], *, try_it: bool) -> None:
    """Make sure that the engine holds the image of this recipe, under both of its tags.

    Args:
        machine: What may be installed on the way.
        ways: The ways to try, in order: "registry" (docker build) and "packages" (mmdebstrap).
        try_it: Whether to run a box even when the image is there; a new image is always tried.

    Raises:
        Unfit: No way led to an image, or the image does not run.
    """
    tag, latest = image_tag(RECIPE), f"{NAME}:latest"
    if not _name_one_image(tag, latest):
        if not _name_one_image(tag):
            _build(machine, tag, ways)
            try_it = True
        _docker("tag", tag, latest, timeout_seconds=30)
    if try_it:
        _try(tag)


def image_tag(recipe: Path) -> str:
    """Return the name of the image that a recipe makes: every byte and name of its files counts."""
    digest = hashlib.sha256()
    for path in sorted(path for path in recipe.iterdir() if path.is_file()):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return f"{NAME}:{digest.hexdigest()[:12]}"


def packages(recipe: Path) -> list[str]:
    """Return the package names of a recipe, without its comments."""
    text = (recipe / "packages.txt").read_text()
    return [word for line in text.splitlines() for word in line.partition("#")[0].split()]


def settings(recipe: Path) -> list[str]:
    """Return the lines of the Dockerfile that say how a box starts, as `docker import` takes."""
    text = (recipe / "Dockerfile").read_text()
    return re.findall(r"^(?:CMD|ENV|LABEL|USER|WORKDIR) .+$", text, flags=re.MULTILINE)


def base_image(recipe: Path) -> str:
    """Return the base image that the Dockerfile starts from unless told otherwise."""
    found = re.search(r"^ARG BASE=(\S+)$", (recipe / "Dockerfile").read_text(), re.MULTILINE)
    if found is None:
        raise Unfit(f"{recipe / 'Dockerfile'} names no base image; add a line ARG BASE=…")
    return found[1]


def _name_one_image(*names: str) -> bool:
    """Whether the engine holds one image under all names: one call, as every set-up asks."""
    argv = ["docker", "image", "inspect", "--format", "{{.Id}}", *names]
    ids = (ask(argv, timeout_seconds=30, env=docker_environment()) or "").split()
    return len(ids) == len(names) and len(set(ids)) == 1


def _build(machine: Machine, tag: str, ways: tuple[str, ...]) -> None:
    builders: dict[str, Callable[[Machine, str], None]] = {
        "registry": _build_from_registry,
        "packages": _build_from_packages,
    }
    reasons = []
    for way in ways:
        try:
            builders[way](machine, tag)
        except (Failed, Unfit) as exc:
            reasons.append(f"by {way}: {exc}")
            if way != ways[-1]:
                say(f"the box image cannot be built by {way}: taking the other way")
        else:
            return
    raise Unfit("the box image cannot be built; " + "; ".join(reasons))


def _build_from_registry(machine: Machine, tag: str) -> None:
    del machine  # the engine does everything
    base = base_image(RECIPE)
    if not _name_one_image(base):
        _pull(base)
    with taking("building the box image with docker build", about_seconds=30):
        _docker("build", "--force-rm", "--tag", tag, str(RECIPE), timeout_seconds=900)


def _pull(name: str) -> None:
    """Pull an image, giving up soon when no registry answers: silence must not cost minutes."""
    argv = ["docker", "pull", name]
    with subprocess.Popen(
        argv,
        env=docker_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as pull:
        assert pull.stdout is not None
        try:
            heard, _, _ = select.select([pull.stdout], [], [], _REGISTRY_SECONDS)
            if not heard:
                raise Failed(argv, f"heard nothing for {_REGISTRY_SECONDS:.0f} s", "")
            output, _ = pull.communicate(timeout=600)
        except subprocess.TimeoutExpired as exc:
            raise Failed(argv, "was not done after 600 s", "") from exc
        finally:
            pull.kill()
    if pull.returncode:
        raise Failed(argv, f"ended with {pull.returncode}", output.decode(errors="replace").strip())


def _build_from_packages(machine: Machine, tag: str) -> None:
    if shutil.which("mmdebstrap") is None:
        machine.install("mmdebstrap", lacking="there is no mmdebstrap", about_seconds=5)
    BUILD.mkdir(exist_ok=True)
    with (
        taking("building the box image from packages", about_seconds=25),
        tempfile.TemporaryDirectory(dir=BUILD) as folder,
    ):
        tree = Path(folder) / "box.tar"
        options = Path(folder) / "apt.conf"
        options.write_text(_fetching_options())
        sources = _sources()
        finish = shlex.quote(str(RECIPE / "finish"))
        argv = [
            "mmdebstrap",
            "--variant=minbase",
            f"--include={','.join(packages(RECIPE))}",
            f"--dpkgopt={RECIPE / 'dpkg.cfg'}",
            f"--aptopt={options}",
            f"--customize-hook=copy-in {finish} /tmp",
            '--customize-hook=chroot "$1" /tmp/finish',
            '--customize-hook=rm -f "$1/etc/resolv.conf" "$1/etc/hostname"',
            _suite(),
            str(tree),
            *(["-"] if sources else []),
        ]
        run(argv, timeout_seconds=900, input_text=sources or None)
        changes = [f"--change={line}" for line in settings(RECIPE)]
        _docker("import", *changes, str(tree), tag, timeout_seconds=300)


def _sources() -> str:
    """Return this machine's own package sources of its distribution, "" to use the usual ones.

    What else the machine installs from (a vendor's repository, say) does not belong into a box.
    """
    listing = _package_lists()
    if not listing and os.geteuid() == 0:
        run(["apt-get", "update"], timeout_seconds=300)
        listing = _package_lists()
    keys = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    signed = f"[signed-by={keys}] " if keys.exists() else ""
    return "".join(f"deb {signed}{entry}\n" for entry in dict.fromkeys(listing))


def _package_lists() -> list[str]:
    argv = ["apt-get", "indextargets", "--format", "$(ORIGIN)\t$(REPO_URI) $(RELEASE) $(COMPONENT)"]
    listing = ask([*argv, "Created-By: Packages"], timeout_seconds=30) or ""
    entries = (line.partition("\t") for line in listing.splitlines())
    return [entry for origin, _, entry in entries if origin == "Debian"]


def _fetching_options() -> str:
    """Return how this machine's apt reaches its mirror: proxies, certificates, old lists."""
    argv = ["apt-config", "dump", "--format", '%f "%v";%n']
    dump = ask(argv, timeout_seconds=30) or ""
    wanted = re.compile(r"Acquire::(https?|Check|Retries|ForceIP)[^ ]* \"[^\"]+\";")
    return "".join(f"{line}\n" for line in dump.splitlines() if wanted.fullmatch(line))


def _suite() -> str:
    """Return the release that the box is made of: this machine's own, when it is Debian."""
    try:
        release = Path("/etc/os-release").read_text()
    except OSError:
        release = ""
    debian = re.search(r"^ID=\"?debian\"?$", release, re.MULTILINE)
    codename = re.search(r"^VERSION_CODENAME=\"?(\w+)", release, re.MULTILINE)
    default = base_image(RECIPE).partition(":")[2].partition("-")[0]
    return codename[1] if debian and codename else default


def _try(tag: str) -> None:
    """Run the smallest box once: an engine that answers may still be unable to start one."""
    options = ("--rm", "--network=none", "--read-only", "--cap-drop=ALL")
    started = time.monotonic()
    try:
        _docker("run", *options, tag, "git", "--version", timeout_seconds=60)
    except Failed as exc:
        raise Unfit(f"the engine answers but cannot run a box: {exc}") from exc
    size = ask(
        ["docker", "image", "inspect", "--format", "{{.Size}}", tag],
        timeout_seconds=30,
        env=docker_environment(),
    )
    seconds = time.monotonic() - started
    say(f"{tag} holds {int(size or 0) / 1e6:.0f} MB; a first box ran in {seconds:.1f} s")


def _docker(*arguments: str, timeout_seconds: float) -> None:
    run(["docker", *arguments], timeout_seconds=timeout_seconds, env=docker_environment())
