"""Images with packages: really fetched by this machine's apt and pip, really run in a box."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
import trio

from monastery.runtime.errors import ImageUnfit
from monastery.runtime.records import BoxLimits, BoxSpec, Packages, RunId
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.engine import RUN_LABEL, Engine
from monastery.sandbox.images import REPOSITORY, Images, name_of
from monastery.sandbox.packages import last

BASE = "monastery-box:latest"


@pytest.fixture
def leaves_nothing() -> Iterator[None]:
    """No container of a build is left, and what was built goes."""
    client = docker.from_env()
    before = {tag for image in client.images.list(REPOSITORY) for tag in image.tags}
    yield
    left = client.containers.list(all=True, filters={"label": RUN_LABEL})
    assert not [one for one in left if one.labels[RUN_LABEL].startswith(REPOSITORY)]
    for tag in {tag for image in client.images.list(REPOSITORY) for tag in image.tags} - before:
        client.images.remove(tag, force=True)
    client.close()


@pytest.mark.usefixtures("leaves_nothing")
@pytest.mark.deadline(1200)
async def test_packages_are_in_the_box_and_are_built_once() -> None:
    """Debian's and pip's, usable by the agent's user, on PATH; the digest is on record."""
    said: list[str] = []
    packages = Packages(debian=("tree", "sudo"), pip=("pyfiglet==1.0.2",))
    sandbox, run = DockerSandbox(say=said.append), RunId("images-test")
    spec = BoxSpec(BASE, BoxLimits(), packages=packages)
    try:
        async with sandbox.open(run, spec) as box:
            tree = await box.run(["tree", "--version"])
            assert tree.exit_code == 0
            figlet = await box.run(["pyfiglet", "x"])
            assert (figlet.exit_code, figlet.stderr) == (0, b"")
            found = await box.run(["find", "/usr", "-xdev", "-perm", "/6000"])
            assert found.stdout == b"", "a program gives more rights than it was started with"
            assert (await box.run(["test", "-x", "/usr/bin/sudo"])).exit_code == 0
            facts = box.facts
    finally:
        with trio.CancelScope(shield=True):
            await sandbox.forget(run)
    assert len(said) == 2, said
    assert "tree, sudo, pyfiglet==1.0.2" in said[0]
    engine = Engine()
    await engine.connect()
    base = await engine.image(BASE)
    assert facts.image_digest != base
    assert facts.image_digest == await engine.image(name_of(base, packages))
    before, after = await engine.image_config(base), await engine.image_config(facts.image_digest)
    for name in ("User", "Env", "WorkingDir", "Cmd", "Entrypoint"):
        assert (after.get(name) or None) == (before.get(name) or None), name
    again = Images(say=said.append)
    assert await again.with_packages(BASE, packages) == facts.image_digest
    assert len(said) == 2, "it was built again"


@pytest.mark.usefixtures("leaves_nothing")
@pytest.mark.deadline(1200)
@pytest.mark.parametrize(
    ("packages", "expected"),
    [
        (Packages(debian=("no-such-one", "no-such-other")), "box.image.debian: E: Unable to"),
        (Packages(pip=("pyfiglet==0.0.0.99",)), "box.image.pip: ERROR: Could not find a version"),
    ],
)
async def test_a_package_that_does_not_exist_is_named_in_one_line(
    packages: Packages, expected: str
) -> None:
    """Nothing is built, and the line says which list it stands in."""
    with pytest.raises(ImageUnfit) as caught:
        await Images().with_packages(BASE, packages)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    for name in packages.debian + packages.pip:
        assert name in str(caught.value)


def test_the_name_is_made_of_the_content() -> None:
    """The order and repetition of a list count for nothing, all else counts."""
    one = name_of("sha256:1", Packages(("a", "b"), ("c",)))
    assert one == name_of("sha256:1", Packages(("b", "a", "b"), ("c",)))
    others = [
        name_of("sha256:2", Packages(("a", "b"), ("c",))),
        name_of("sha256:1", Packages(("a",), ("b", "c"))),
        name_of("sha256:1", Packages(("a", "b"), ("c==1",))),
    ]
    assert len({one, *others}) == 4


@pytest.mark.usefixtures("leaves_nothing")
@pytest.mark.deadline(1200)
async def test_without_an_apt_of_its_release_the_image_fetches_itself() -> None:
    """By a container with a network, which installs nothing; the packages are in the box."""
    images, packages = Images(own_apt=False), Packages(debian=("tree", "git"))
    digest = await images.with_packages(BASE, packages)
    client = docker.from_env()
    try:
        assert b"tree v" in client.containers.run(digest, ["tree", "--version"], remove=True)
    finally:
        client.close()
    with pytest.raises(ImageUnfit, match=r"box\.image\.debian: E: Unable to locate package no"):
        await images.with_packages(BASE, Packages(debian=("no-such-one",)))


async def test_an_image_without_debian_is_refused(tmp_path: Path) -> None:
    """There is no way to add such packages to it."""
    client = docker.from_env()
    tree = io.BytesIO()
    with tarfile.open(fileobj=tree, mode="w") as archive:
        for name, text in (("usr/lib/os-release", b"ID=alpine\n"), ("bin/sh", b"")):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    (tmp_path / "other.tar").write_bytes(tree.getvalue())
    name = "monastery-test-other:latest"
    try:
        client.api.import_image_from_file(str(tmp_path / "other.tar"), "monastery-test-other")
        with pytest.raises(ImageUnfit, match="the image is no Debian"):
            await Images().with_packages(name, Packages(debian=("tree",)))
    finally:
        client.images.remove(name, force=True)
        client.close()


def test_what_went_wrong_is_told_by_the_line_that_says_it() -> None:
    """Also where a program ends with a traceback; a mirror's password is told to nobody."""
    said = "Get:1 x\nE: one\nsome\nERROR: two https://me:secret@mirror.example/x\n"
    assert last(said) == "E: one; ERROR: two https://mirror.example/x"
    assert last("ERROR: Exception:\nTraceback …\nValueError: three\n") == "ValueError: three"
    assert last("\n") == "it said nothing"
