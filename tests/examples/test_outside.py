"""The example that reaches the world, with a real web server, sshd and mail server."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.examples.ready import copied, run
from tests.executors.certificates import Authority
from tests.executors.mail import MailServer, mail_server
from tests.executors.shell_server import ShellServer, shell_server
from tests.executors.web import WebServer, web_server

TOKEN = "hunter2secret"
RESTART = 'echo "$MONASTERY_STEP_KEY" >> restarted; echo "$1 is up again"\n'


class World:
    """A folder with the example, and the three servers that it is set to."""

    def __init__(self, folder: Path, web: WebServer, shell: ShellServer, mail: MailServer) -> None:
        self.folder, self.web, self.shell, self.mail = folder, web, shell, mail
        self.host = shell.folder / "host"  # where commands run, in the place of a home
        self.host.mkdir()
        (self.host / "restart.sh").write_text(RESTART)
        key = (shell.folder / "user.pub").read_text()
        within = f'command="cd {self.host} && eval \\"$SSH_ORIGINAL_COMMAND\\""'
        (shell.folder / "authorized").write_text(f"{within} {key}")
        (folder / "keys").mkdir()
        (folder / "keys/deploy").write_bytes((shell.folder / "user").read_bytes())
        (folder / "keys/deploy").chmod(0o600)
        (folder / "known_hosts").write_bytes((shell.folder / "known_hosts").read_bytes())
        user = shell.host()["user"]
        self._put("agent.py", {"http://status.example.org": f"http://127.0.0.1:{web.port}"})
        self._put(
            "project.yaml",
            {
                "- url: http://status.example.org": f"- url: http://127.0.0.1:{web.port}",
                "  http:\n": "  http:\n    networks: [127.0.0.0/8]\n",
                "web.example.org\n        port: 22": f"127.0.0.1\n        port: {shell.port}",
                "user: deploy": f"user: {user}",
                "mail.example.org\n    port: 587": f"localhost\n    port: {mail.port}",
                "security: starttls": f"security: starttls\n    ca: {mail.ca}",
            },
        )

    def _put(self, name: str, places: dict[str, str]) -> None:
        """Do by hand what the README asks of who has servers."""
        text = (self.folder / name).read_text()
        for old, new in places.items():
            assert text.count(old) == 1, (name, old)
            text = text.replace(old, new)
        (self.folder / name).write_text(text)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """The example with servers."""
    with ExitStack() as stack:
        (tmp_path / "ssh").mkdir()
        authority = Authority.new(tmp_path)
        yield World(
            copied("outside", tmp_path),
            stack.enter_context(web_server()),
            stack.enter_context(shell_server(tmp_path / "ssh")),
            stack.enter_context(mail_server(authority, "starttls")),
        )


def test_a_service_that_is_down_is_restarted_and_somebody_told(world: World) -> None:
    """Each step reaches its server once, with the secret that the record does not hold."""
    world.web.answer = lambda got: (503, {}, b"down")
    told = run(world.folder, STATUS_TOKEN=TOKEN)
    kinds = [(one["proposal"]["kind"], one["outcome"]["status"]) for one in told["segments"][:3]]
    assert kinds == [("http", "failed"), ("ssh", "done"), ("email", "done")]
    (got,) = world.web.got
    assert dict(got.headers)["Authorization"] == f"Bearer {TOKEN}"
    assert (world.host / "restarted").read_text() == f"{told['segments'][1]['segment']}\n"
    ((_, people, message),) = world.mail.mailbox.got
    assert people == ["duty@example.org"]
    assert b"The service answered 503." in message
    assert b"site is up again" in message
    kept = [path.read_bytes() for path in world.folder.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in content for content in kept)
