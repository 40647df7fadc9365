"""`monastery` itself: help, exit codes, where output goes, how quickly it starts."""

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from monastery.runtime.cli import output
from monastery.runtime.cli.main import COMMANDS
from monastery.runtime.errors import BadInput, EngineUnavailable, ProjectInvalid, StoreError
from tests.cli.conftest import MAIN, Cli, environment


def test_alone_it_prints_its_help(cli: Cli) -> None:
    """Who calls it for the first time sees what there is, and that is no error."""
    alone, asked = cli(), cli("--help")
    assert (alone.code, alone.err) == (0, "")
    assert alone.out == asked.out
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", alone.out, re.MULTILINE), name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(cli: Cli, name: str) -> None:
    """Help says what the command does, in the words of the list, and shows how to call it."""
    ran = cli(name, "--help")
    assert ran.code == 0
    text = " ".join(ran.out.split())
    assert COMMANDS[name].rstrip(".") in text
    assert re.search(rf"Examples?: monastery {name}", text)
    module = importlib.import_module(f"monastery.runtime.cli.{name}")
    assert typer.main.get_command(module.app).help.startswith(COMMANDS[name])


def test_the_installed_script_is_the_same_program(tmp_path: Path) -> None:
    """What pip puts on PATH works."""
    script = shutil.which("monastery", path=str(Path(sys.executable).parent))
    assert script is not None
    ran = subprocess.run(
        [script, "--version"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert re.fullmatch(r"monastery \d+\.\d+\.\d+\n", ran.stdout)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("nonesuch",), "nonesuch"),
        (("show",), "run"),
        (("show", "x", "--nonesuch"), "--nonesuch"),
        (("run",), "name a project file"),
        (("run", "gone.yaml"), "gone.yaml: no such file"),
        (("run", "x", "--resume", "y", "--new"), "exclude each other"),
        (("runs",), "--home"),
        (("show", "x", "--home", "gone"), "--home"),
        (("export", "x"), "--to"),
        (("--log-level", "loud", "runs"), "loud"),
        (("box", "--memory", "much", "--", "true"), "--memory: 'much' is no size"),
    ],
)
def test_bad_input_is_exit_2_and_says_what(cli: Cli, args: tuple[str, ...], said: str) -> None:
    """Nothing on stdout, the fault on stderr, no traceback."""
    ran = cli(*args)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_faults_of_a_project_begin_with_file_and_line(cli: Cli) -> None:
    """Every fault is a line that an editor can jump to."""
    (cli.folder / "p.yaml").write_text("name: A\ngoal: x\nagent: {command: [a]}\nsteps: {plna: }\n")
    ran = cli("run", "p.yaml")
    assert ran.code == 2
    assert [line.split(": ")[0] for line in ran.err.splitlines()] == ["p.yaml:1", "p.yaml:4"]
    assert not (cli.folder / ".monastery").exists()


def test_a_machine_without_an_engine_is_exit_3_with_the_mend(cli: Cli) -> None:
    """The environment is told apart from bad input, and what to do is said."""
    ran = cli("box", "--", "true", env={"DOCKER_HOST": "unix:///nonesuch.sock"})
    assert ran.code == 3
    assert "start it" in ran.err
    assert "Traceback" not in ran.err


def test_debug_shows_the_traceback(cli: Cli) -> None:
    """The one line is for users; whoever looks for a fault of ours can see all."""
    ran = cli("--debug", "runs")
    assert "Traceback" in ran.err
    assert "BadInput" in ran.err


@pytest.mark.parametrize(
    ("broke", "code"),
    [
        (BadInput("x"), 2),
        (ExceptionGroup("", [StoreError("x"), ExceptionGroup("", [EngineUnavailable("y")])]), 3),
        (BaseExceptionGroup("", [KeyboardInterrupt()]), 130),
        (ExceptionGroup("", [StoreError("x"), ValueError("ours")]), None),
    ],
)
def test_what_broke_is_found_inside_groups(
    broke: BaseException, code: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trio's groups do not hide our errors, and our errors do not hide a fault of our own."""
    assert output.report(broke) == code
    assert "\x1b" not in capsys.readouterr().err


def test_an_error_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Text from a file or a box inside an error is made visible."""
    output.report(ProjectInvalid(["p.yaml:1: \x1b]0;owned\x07: no"]))
    assert capsys.readouterr().err == "p.yaml:1: ‹U+001B›]0;owned‹U+0007›: no\n"


def test_logs_are_json_lines_on_stderr_where_there_is_no_terminal(cli: Cli) -> None:
    """Programs read logs; results stay alone on stdout."""
    code = (
        "import structlog; from monastery.runtime.cli.output import configure_logs, LogLevel;"
        "configure_logs(LogLevel.info); log = structlog.get_logger();"
        "log.debug('a.hidden'); log.info('a.shown', size_bytes=3)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    told = json.loads(line)
    assert (told["event"], told["level"], told["size_bytes"]) == ("a.shown", "info", 3)


@pytest.mark.parametrize(
    "args", [("runs",), ("show", "x"), ("verify", "x"), ("export", "x", "--to=jsonl"), ("schema",)]
)
def test_nothing_is_logged_past_the_settings(cli: Cli, args: tuple[str, ...]) -> None:
    """Logs are configured once structlog is there; nothing may import it after that."""
    code = (
        "import sys; sys.argv = ['monastery', *sys.argv[1:]]\n"
        "from monastery.runtime.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "log = sys.modules.get('structlog')\n"
        "sys.exit(0 if log is None or log.is_configured() else 'structlog came too late')"
    )
    subprocess.run([sys.executable, "-c", code, *args], cwd=cli.folder, check=True)


def test_a_reader_who_leaves_is_no_error_worth_words(cli: Cli) -> None:
    """`monastery … | head -1` says nothing of a broken pipe."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        ran = subprocess.run(
            [*MAIN, "schema"],
            stdout=closed,
            stderr=subprocess.PIPE,
            cwd=cli.folder,
            env=environment(),
            check=False,
        )
    assert ran.stderr == b""


@pytest.mark.parametrize("args", [("--help",), ("runs",)])
def test_short_commands_start_quickly(cli: Cli, args: tuple[str, ...]) -> None:
    """Help and lists come at once, for no engine, model or web library is imported for them.

    Measured: 0.08 s and 0.2 s. Time itself is not asked for: it says how busy the machine is.
    """
    heavy = "docker", "trio", "httpcore", "rich.table", "ruamel.yaml"
    code = (
        "import sys; sys.argv = ['monastery', *sys.argv[1:]]\n"
        "from monastery.runtime.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"found = [name for name in {heavy!r} if name in sys.modules]\n"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code, *args], cwd=cli.folder, check=True)
