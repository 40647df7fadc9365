"""`monastery plant`: known proposals from steps, checked; one clear line for what is wrong."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import trio

from monastery.runtime.cases import make_case
from monastery.runtime.cli import compose, plant
from monastery.runtime.cli.rendering import NoDesk, executors
from monastery.runtime.cli.shelf import Shelf
from monastery.runtime.errors import AuditExpired, BadInput, ProjectInvalid
from monastery.runtime.executors.context import Context
from monastery.runtime.executors.plan import PlanExecutor, PlanSettings
from monastery.runtime.people import question_of
from monastery.runtime.planted import Known
from monastery.runtime.planted_files import read_folder, read_known, write_known
from monastery.runtime.ports import Desk
from monastery.runtime.project_file import Loaded, load
from monastery.runtime.records import Answer, Item, Proposal, RunId, SegmentId, Sha256
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.sandbox.scripted import ScriptedSandbox
from tests.cli.conftest import Cli
from tests.runtime.world import SetAuditor, approve, inline

PROJECT = """\
name: garden
goal: Plan the garden.
agent: {command: [agent]}
steps:
  plan: {}
audit:
  auditors: [{person: ada}]
  planted: {folder: planted}
"""
GOOD = """\
kind: plan
good: true
why: It is what was asked for.
rationale: Peas are early.
payload: {text: "plant peas"}
"""
PLAN: Any = {"plan": PlanExecutor(PlanSettings(), Context(Path(), "", None))}  # type: ignore[arg-type]


def _project(folder: Path, text: str = PROJECT) -> Path:
    (folder / "planted").mkdir(exist_ok=True)
    path = folder / "garden.yaml"
    path.write_text(text)
    return path


async def _agent(inside: Any) -> int:
    inside.print("I think of \x1b[31mbeans\x1b[0m.")
    evidence = {"big.bin": bytes(120_000)}
    await inside.propose("plan", "dig\nplant beans\n", "Beans are late.", evidence)
    await inside.propose("plan", "rest\n", "It is dark.")
    return 0


def _run(folder: Path, loaded: Loaded, *votes: Any) -> RunId:
    home = folder / "home"
    with Store.open(home) as store:
        row = new_run(store, loaded)

    def build(desk: Desk, calls: int) -> World:
        auditor = SetAuditor(*votes)
        return World(ScriptedSandbox(_agent), [auditor], executors(loaded, desk), None)

    trio.run(lambda: go(home, row, loaded, build, lambda _: None, hop=inline))
    return row.run


def test_a_step_becomes_a_known_proposal(tmp_path: Path, cli: Cli) -> None:
    """With its bytes, evidence, changes and what was printed; from there it can be planted."""
    loaded = load(_project(tmp_path))
    run = _run(tmp_path, loaded, approve())
    options = ("--home", str(tmp_path / "home"))
    done = cli("plant", "step", run, "1", "--bad", "--why", "No beans.", *options, "--json")
    assert done.code == 0, done.err
    path = Path(json.loads(done.out)["file"])
    assert path.parent == tmp_path / "planted"
    known = read_known(path, PLAN)
    assert known.payload == b"dig\nplant beans\n"
    assert known.rendering == "1. dig\n2. plant beans"
    assert (known.good, known.why, known.rationale) == (False, "No beans.", "Beans are late.")
    assert known.source == f"{run}.1"
    assert b"\x1b[31mbeans" in known.printed
    ((name, content),) = known.evidence
    assert (name, len(content)) == ("big.bin", 120_000)
    with Store.open(tmp_path / "home") as store:
        assert [one.why for one in Shelf(store).known(run, "plan")] == ["No beans."]
        assert Shelf(store).known(run, "git") == []
    listed = cli("plant", "list", str(loaded.path))
    assert listed.code == 0
    assert "bad" in listed.out
    again = cli("plant", "step", run, "1", "--bad", "--why", "x", *options)
    assert again.code == 2
    assert "there already" in again.err


def test_what_cannot_be_planted_is_said(tmp_path: Path) -> None:
    """What is wrong, and the mend; and nothing is written."""
    run = _run(tmp_path, load(_project(tmp_path)), approve())
    told: dict[str, Any] = {"why": "x", "good": False, "home": tmp_path / "home"}
    for number, change, says in (
        (9, {}, "no step 9 that is over"),
        (1, {"good": None}, "--good or --bad"),
        (1, {"why": " "}, "--why is empty"),
        (1, {"name": "../x"}, "no name for a file"),
    ):
        with pytest.raises(BadInput, match=says):
            plant.step(run, number, **(told | change))
    assert list((tmp_path / "planted").iterdir()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("good: true\n", ""), "good"),
        (("good: true", "good: perhaps"), "2: good"),
        (("kind: plan", "kind: paln"), "1: kind: 'paln' is none of the project's: plan"),
        (('{text: "plant peas"}', '{text: ""}'), "5: payload"),
        (('{text: "plant peas"}', "{}"), "one of text, base64 and file"),
        (('{text: "plant peas"}', "{text: a, base64: YQ==}"), "one of text, base64 and file"),
        (('{text: "plant peas"}', '{base64: "?"}'), "payload"),
        (('{text: "plant peas"}', "{file: none.bin}"), "none.bin"),
        (('{text: "plant peas"}', "{file: ../garden.yaml}"), "leaves the folder"),
        (("why: It is what was asked for.", "why: ''"), "3: why"),
        (("rationale:", "rationales:"), "rationale"),
    ],
)
def test_a_bad_file_is_told_with_its_line(
    tmp_path: Path, change: tuple[str, str], says: str
) -> None:
    """In one line; and it is not planted."""
    assert change[0] in GOOD
    (tmp_path / "peas.yaml").write_text(GOOD.replace(*change))
    found, (fault,) = read_folder(tmp_path, PLAN)
    assert found == []
    assert "peas.yaml" in fault
    assert says in fault
    assert "\n" not in fault


def test_a_list_with_a_bad_file_ends_with_2(tmp_path: Path, cli: Cli) -> None:
    """The good ones are listed all the same."""
    project = _project(tmp_path)
    (tmp_path / "planted" / "peas.yaml").write_text(GOOD)
    (tmp_path / "planted" / "beans.yaml").write_text("kind: plan\n")
    done = cli("plant", "list", str(project))
    assert done.code == 2
    assert "peas" in done.out
    assert "beans.yaml" in done.err
    assert done.err.count("\n") == 1


def test_a_server_goes_on_without_what_cannot_be_planted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad file is told once and left out; without the folder nothing is planted."""
    run = _run(tmp_path, load(_project(tmp_path)), approve())
    (tmp_path / "planted" / "peas.yaml").write_text(GOOD)
    (tmp_path / "planted" / "beans.yaml").write_text("kind: plan\n")
    with Store.open(tmp_path / "home") as store:
        shelf = Shelf(store)
        for _ in range(2):
            assert [one.name for one in shelf.known(run, "plan")] == ["peas"]
        err = capsys.readouterr().err
        assert err.count("not planted: ") == 1
        assert "beans.yaml" in err
        shutil.rmtree(tmp_path / "planted")
        assert Shelf(store).known(run, "plan") == []
        assert "no planted items" in capsys.readouterr().err


def test_the_same_bytes_twice_are_told(tmp_path: Path) -> None:
    """Nobody would be handed the second one."""
    for name in ("one.yaml", "two.json"):
        (tmp_path / name).write_text(GOOD)
    found, faults = read_folder(tmp_path, PLAN)
    assert [one.name for one in found] == ["one"]
    assert "two.json: proposes the same bytes as one.yaml" in faults[0]


@pytest.mark.parametrize(
    ("planted", "says"),
    [
        ("{folder: nowhere}", "no folder 'nowhere'"),
        ("{folder: planted, rate: 0.2}", "rate"),
        ("{folder: planted, floor: 1}", "floor"),
        ("{rate: 0.05}", "folder"),
    ],
)
def test_a_project_is_told_what_is_wrong(tmp_path: Path, planted: str, says: str) -> None:
    """Before a run begins: at most one in ten, a folder that is there."""
    with pytest.raises(ProjectInvalid, match=says):
        load(_project(tmp_path, PROJECT.replace("{folder: planted}", planted)))


@pytest.mark.parametrize(
    "payload", [b"plain\n", b"\x00\xff", "é\u200b\u2028😀\n".encode(), b"\r\n"]
)
def test_what_is_written_is_read_back(tmp_path: Path, payload: bytes) -> None:
    """Any bytes; as text where a reader of the file can see them."""

    class Anything(PlanExecutor):
        def check(self, payload: bytes) -> None:
            pass

        def render(self, payload: bytes) -> str:
            return ""

    known = Known("k", "plan", payload, "", "why\n", (("a b", payload),), True, "w", None, payload)
    kinds: Any = {"plan": Anything(PlanSettings(), PLAN["plan"])}
    assert read_known(write_known(tmp_path, known), kinds) == known


@pytest.mark.parametrize(
    ("auditor", "rate", "wanted"),
    [
        ("{person: ada}", 0.08, {"rate": 0.08, "floor": 0.6}),
        ("{panel: reviewers}", 0.08, {"rate": 0.08, "floor": 0.6}),
        ("{person: ada}", 0, None),
    ],
)
async def test_a_run_tells_the_desk_how_often_and_not_where(
    tmp_path: Path, auditor: str, rate: float, wanted: Any
) -> None:
    """In each question for people; nothing where the project plants nothing."""
    segment, digest = SegmentId("garden-20261121-091500-k3f9.1"), Sha256("a" * 64)
    proposal = Proposal(segment, 1, "plan", b"dig", "why", (), (), digest)
    case = make_case("Plan.", proposal, rendering="1. dig", settings={}, earlier=())
    asked: list[Item] = []

    class Asked(NoDesk):
        async def ask(self, item: Item) -> Answer | None:
            await trio.lowlevel.checkpoint()
            asked.append(item)
            return None

    text = PROJECT.replace("{person: ada}", auditor)
    text = text.replace("{folder: planted}", f"{{folder: planted, rate: {rate}, floor: 0.6}}")
    loaded = load(_project(tmp_path, text))
    made = compose.world(loaded, Asked(), 0, sandbox=ScriptedSandbox(_agent), home=tmp_path)
    with pytest.raises((AuditExpired, ExceptionGroup)):
        await made.auditors[0].judge(case, None)  # type: ignore[arg-type]
    for item in asked:
        assert item.body["desk"].get("planted") == wanted
        assert (question_of(item).planted, question_of(item).floor) == (
            (0.08, 0.6) if wanted else (0.0, 0.0)
        )
        assert (re.search(r"~\d{6}$", item.id) is not None) == bool(wanted)
        assert "folder" not in str(item.body["desk"])
    assert asked
