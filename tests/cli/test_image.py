"""`monastery image`: a project's image made ahead, and told; a list of all."""

import json
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("engine")


@pytest.fixture
def project(project: Path) -> Iterator[Path]:
    """A project whose image has a package more; the image goes in the end."""
    text = project.read_text()
    assert text.count("box:\n") == 1
    project.write_text(text.replace("box:\n", "box:\n  image: {pip: [pyfiglet==1.0.2]}\n"))
    yield project
    client = docker.from_env()
    for image in client.images.list(filters={"label": "monastery.recipe"}):
        if "pyfiglet" in image.labels.get("monastery.packages", ""):
            client.images.remove(image.id, force=True)
    client.close()


def test_an_image_is_made_ahead_and_found_by_the_run(cli: Cli, project: Path) -> None:
    """Made once, with what was added, its digest and size; the list and a box know it."""
    made = cli("image", "project.yaml", "--json")
    assert (made.code, "building a box image with pyfiglet" in made.err) == (0, True), made
    told = made.json
    assert (told["debian"], told["pip"]) == ([], ["pyfiglet==1.0.2"])
    again = cli("image", "project.yaml")
    assert (again.code, again.err) == (0, ""), "it was made again"
    assert f"digest    {told['digest']}\n" in again.out
    listed = cli("image", "--json").json
    assert told in listed
    assert listed[0]["name"] == "monastery-box:latest"
    assert listed[0]["digest"] == told["base"]
    assert told["size_bytes"] > listed[0]["size_bytes"]
    (line,) = [one for one in cli("image").out.splitlines() if one.startswith(told["name"])]
    assert f"pyfiglet==1.0.2, added to {told['base'][7:19]}" in line
    ran = cli("box", "--project", "project.yaml", "--", "pyfiglet", "x")
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize(
    ("source", "code", "why"),
    [
        ("image: nonesuch", 3, "the engine has no image 'nonesuch'"),
        ("image: {pip: [nonesuch==0.0.0.99]}", 3, "box.image.pip: ERROR: "),
        ("imag: x", 2, "imag: is no field here"),
    ],
)
def test_what_cannot_be_made_is_said_in_a_line(
    cli: Cli, project: Path, source: str, code: int, why: str
) -> None:
    """With the code of its cause, and nothing on stdout."""
    text = project.read_text().replace("image: {pip: [pyfiglet==1.0.2]}", source)
    project.write_text(text)
    ran = cli("image", "project.yaml")
    assert (ran.code, ran.out) == (code, "")
    assert why in ran.err
    assert len(json.dumps(ran.err.strip().splitlines()[-1])) < 1000
