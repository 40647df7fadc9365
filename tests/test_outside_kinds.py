"""The kinds that speak to the outside, from a real box through the command line to real servers."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.executors.certificates import Authority
from tests.executors.mail import mail_server
from tests.executors.web import web_server

MONASTERY = str(Path(sys.executable).parent / "monastery")
TOKEN = "hunter2secret"

AGENT = """
import json, sys
from monastery_box import propose

web = {"method": "POST", "url": sys.argv[1], "text": "hello"}
told = propose("http", json.dumps(web), "because")
mail = {"to": ["ada@example.org"], "subject": "Told", "text": told["content"]["body"]}
told = propose("email", json.dumps(mail), "because")
sys.exit(0 if told["status"] == "done" else 1)
"""


def test_no_secret_is_in_the_record(tmp_path: Path) -> None:
    """A box without network has a request and an email sent; the token is in no file of the run."""
    with web_server() as web, mail_server(Authority.new(tmp_path), "none") as mail:
        web.answer = lambda got: (200, {}, f"echoed {TOKEN}".encode())
        url = f"http://127.0.0.1:{web.port}/"
        project = {
            "name": "outside",
            "goal": "Tell Ada.",
            "agent": {"command": ["python3", "agent.py", url]},
            "box": {"files": [{"from": "agent.py", "to": "agent.py"}]},
            "steps": {
                "http": {
                    "allow": [
                        {"url": url, "methods": ["POST"], "secrets": {"X-Key": "$API_TOKEN"}}
                    ],
                    "networks": ["127.0.0.0/8"],
                },
                "email": {
                    "host": "127.0.0.1",
                    "port": mail.port,
                    "security": "none",
                    "sender": "agent@example.org",
                    "allow": ["ada@example.org"],
                },
            },
            "audit": {"rate": "never"},
        }
        (tmp_path / "agent.py").write_text(AGENT)
        (tmp_path / "project.yaml").write_text(json.dumps(project))
        home = tmp_path / "home"
        done = subprocess.run(
            [MONASTERY, "run", "project.yaml"],
            cwd=tmp_path,
            env=os.environ | {"API_TOKEN": TOKEN, "MONASTERY_HOME": str(home)},
            capture_output=True,
            timeout=280,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    (request,) = web.got
    assert dict(request.headers)["X-Key"] == TOKEN
    ((_, people, message),) = mail.mailbox.got
    assert people == ["ada@example.org"]
    assert b"echoed [secret API_TOKEN]" in message
    files = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    assert any(b"echoed [secret API_TOKEN]" in content for content in files)
    written = [*files, done.stdout, done.stderr]
    assert not any(TOKEN.encode() in content for content in written)
