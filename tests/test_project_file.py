"""The project file: every fault at once, with file, line, field and mend."""

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monastery.runtime.errors import ProjectInvalid
from monastery.runtime.executors import KINDS
from monastery.runtime.executors.file import FileSettings
from monastery.runtime.executors.plan import PlanSettings
from monastery.runtime.project_file import load, parse, schema
from monastery.runtime.records import Packages
from monastery.runtime.runner import spec_of

GOOD = """\
name: tiny
goal: Write the answer.
agent:
  command: [python3, agent.py]
box:
  memory: 512 MiB
  files:
    - {from: agent.py, to: agent.py}
steps:
  plan:
  file: {folder: out, audit: 0.5}
audit:
  rate: always
  auditors:
    - {name: judge, command: [./judge.py]}
    - {person: ada}
policy: {scripted: policy.jsonl}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with all that the good project names."""
    for name in ("agent.py", "judge.py", "policy.jsonl"):
        (tmp_path / name).touch()
    (tmp_path / "judge.py").chmod(0o755)
    (tmp_path / "out").mkdir()
    return tmp_path


def faults_of(source: str | bytes, folder: Path) -> list[str]:
    """Return what is wrong with a project file of these bytes."""
    path = folder / "project.yaml"
    path.write_bytes(source.encode() if isinstance(source, str) else source)
    with pytest.raises(ProjectInvalid) as caught:
        load(path)
    return caught.value.faults


def test_a_good_file_is_a_project(folder: Path) -> None:
    """Sizes, rates and bare kinds mean what they say, and each kind has its own settings."""
    (folder / "project.yaml").write_text(GOOD)
    loaded = load(folder / "project.yaml")
    project = loaded.project
    assert project.box.memory == 512 << 20
    assert project.audit.rate == 1.0
    assert isinstance(project.steps["plan"], PlanSettings)
    assert isinstance(project.steps["file"], FileSettings)
    assert (project.probability("plan"), project.probability("file")) == (1.0, 0.5)
    assert [auditor.name for auditor in project.audit.auditors] == ["judge", "ada"]
    assert (loaded.folder, loaded.path) == (folder, folder / "project.yaml")
    assert loaded.source == GOOD.encode()


def test_a_loaded_project_is_a_plain_value(folder: Path) -> None:
    """It can be handed to another process, and read again from its bytes."""
    loaded = parse(GOOD.encode(), folder / "project.yaml")
    assert pickle.loads(pickle.dumps(loaded)) == loaded
    assert parse(loaded.source, loaded.path) == loaded


def test_a_kind_s_fault_has_the_line_of_its_place(folder: Path) -> None:
    """What a kind finds in the second of a list's entries is told with that entry's line."""
    places = """\
  http:
    allow:
      - {url: "https://a.example/"}
      - url: "https://b.example/"
        look: "https://c.example/"
"""
    (fault,) = faults_of(GOOD.replace("  plan:\n", places), folder)
    assert ":14: steps.http.allow[1].look: is of another origin" in fault


def test_paths_are_relative_to_the_file_and_not_to_us(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project is the same from wherever it is started."""
    (folder / "project.yaml").write_text(GOOD)
    monkeypatch.chdir(folder / "out")
    assert load(Path("../project.yaml")) == load(folder / "project.yaml")


REPLACED: list[tuple[str, str, int, str, str, str]] = [
    # what is written instead of what, line, field, what is wrong, mend
    ("name: tiny", "name: Tiny Thing", 1, "name", "'Tiny Thing'", "lower-case letters"),
    ("name: tiny", "name: 5", 1, "name", "is 5", "in quotes"),
    ("name: tiny", "name:", 1, "name", "is empty", "write text"),
    ("name: tiny\n", "", 1, "name", "is missing", "add `name: repair`"),
    ("goal: W", "gaol: W", 2, "gaol", "no field here", "did you mean `goal`?"),
    ("goal: Write the answer.", 'goal: ""', 2, "goal", "is empty", "write some text"),
    ("[python3, agent.py]", "python3 agent.py", 4, "agent.command", "is 'python3", "[python3, age"),
    ("[python3, agent.py]", "[]", 4, "agent.command", "is empty", "at least one"),
    ("[python3, agent.py]", "[python3, 3]", 4, "agent.command[1]", "is 3", "in quotes"),
    ("memory: 512 MiB", "image: 3", 6, "box.image", "is 3", "write text"),
    ("memory: 512 MiB", "image: {debain: []}", 6, "box.image.debain", "no field", "mean `debian`?"),
    ("memory: 512 MiB", "image: {debian: [X y]}", 6, "box.image.debian[0]", "is 'X y'", "name of"),
    ("memory: 512 MiB", "image: {pip: [-r x]}", 6, "box.image.pip[0]", "is '-r x'", "package"),
    ("512 MiB", "512 Mib s", 6, "box.memory", "is no size", "512 MiB"),
    ("512 MiB", "-1", 6, "box.memory", "is -1", "more than 0"),
    ("512 MiB", ".nan", 6, "box.memory", "is .nan", "finite"),
    ("512 MiB", "true", 6, "box.memory", "is true", "whole number"),
    ("memory: 512 MiB", "pids: 3", 6, "box.pids", "is 3", "at least 16"),
    ("memory: 512 MiB", "pids: 1.5", 6, "box.pids", "is 1.5", "whole number"),
    ("memory: 512 MiB", "cpus: '2'", 6, "box.cpus", "is '2'", "a number"),
    ("memory: 512 MiB", "payload: 1 GiB", 6, "box.payload", "is '1 GiB'", "at most 67108864"),
    ("memory:", "memroy:", 6, "box.memroy", "no field here", "did you mean `memory`?"),
    ("from: agent.py", "from: gone.py", 8, "box.files[0].from", "no file 'gone.py'", "relative to"),
    ("to: agent.py", "to: /etc/x", 8, "box.files[0].to", "leaves", "relative path"),
    ("to: agent.py", "to: a/../../x", 8, "box.files[0].to", "leaves", "relative path"),
    (", to: agent.py", "", 8, "box.files[0].to", "is missing", "add `to: …`"),
    ("  plan:\n", "  plan: {audt: 1}\n", 10, "steps.plan.audt", "no field", "mean `audit`?"),
    ("  plan:\n", "  plna:\n", 10, "steps.plna", "is no step kind", "did you mean `plan`?"),
    ("  plan:\n", "  plan: 3\n", 10, "steps.plan", "is 3", "a mapping"),
    ("folder: out, ", "", 11, "steps.file.folder", "is missing", "add `folder: …`"),
    ("folder: out", "folder: gone", 11, "steps.file.folder", "is no folder", "make it"),
    ("audit: 0.5", "audit: 2", 11, "steps.file.audit", "is 2", "at most 1"),
    ("audit: 0.5", "audit: often", 11, "steps.file.audit", "is no rate", "always or never"),
    ("rate: always", "mode: later", 13, "audit.mode", "'later'", "'blocking' or 'deferred'"),
    ("[./judge.py]", "[./gone.py]", 15, "audit.auditors[0].command", "no file './gone.py'", "rel"),
    ("[./judge.py]", "[./agent.py]", 15, "audit.auditors[0].command", "executed", "chmod +x"),
    ("[./judge.py]", "[nonesuch-x]", 15, "audit.auditors[0].command", "no program", "install it"),
    ("{person: ada}", "{}", 16, "audit.auditors[1]", "needs `command` or `person`", "add one"),
    ("{person: ada}", "{person: judge}", 16, "audit.auditors[1]", "'judge'", "another name"),
    ("{person: ada}", "{persn: ada}", 16, "audit.auditors[1]", "needs", "add one of them"),
    ("person: ada", "person: ada, x: 1", 16, "audit.auditors[1].x", "no field here", "fields: "),
    ("person: ada", "person: ada, timeout_seconds: 0", 16, "audit.auditors[1].timeout_seconds",
     "is 0", "more than 0"),
    ("policy.jsonl", "gone.jsonl", 17, "policy.scripted", "no file 'gone.jsonl'", "relative to"),
    ("policy: {scripted: policy.jsonl}", "policy: {}", 17, "policy",
     "needs `scripted` or `replayed` or `openai` or `anthropic` or `local`", "add one of them"),
    ("policy: {scripted: policy.jsonl}", "policy: {models: [m]}", 17, "policy",
     "needs `scripted` or `replayed` or `openai` or `anthropic` or `local`", "add one of them"),
    ("policy: {scripted: policy.jsonl}", "policy: gpt", 17, "policy", "is 'gpt'", "a mapping"),
    (
        "policy: {scripted: policy.jsonl}",
        "policy: {openai: http://x/v1}",
        17,
        "policy.models",
        "is missing",
        "add `models",
    ),
    (
        "policy: {scripted: policy.jsonl}",
        "policy: {openai: x, models: [m]}",
        17,
        "policy.openai",
        "is 'x'",
        "write http:// or https://",
    ),
    (
        "policy: {scripted: policy.jsonl}",
        "policy: {openai: http://x, models: [m], key: sk-1}",
        17,
        "policy.key",
        "is no name of an environment",
        "write one",
    ),
    (
        "policy: {scripted: policy.jsonl}",
        "policy: {openai: http://x, models: [m], budget: {money: 1}}",
        17,
        "policy.prices",
        "missing: m",
        "needs the price",
    ),
    ("policy:", "limits: {steps: 0}\npolicy:", 17, "limits.steps", "is 0", "more than 0"),
    ("goal: W", "name: again\ngoal: W", 2, "name", "stands twice", "remove one"),
    ("goal: W", "1: x\ngoal: W", 2, "the file", "'1' as a key", "quote it"),
    ("goal: W", "<<: {a: b}\ngoal: W", 2, "<<", "merges", "write its fields out"),
    ("goal: W", "goal: !!python/object/apply:os.system W", 2, "goal", "the tag", "remove it"),
    ("goal: W", "goal: !secret W", 2, "goal", "the tag '!secret'", "remove it"),
    ("agent:\n  ", "agent:\n\t", 4, "the file", "a tab", "indent with spaces"),
    ("goal: W", "goal: a: W", 2, "the file", "a `: ` where none may", "quote the value"),
    ("goal: W", 'goal: "W', 2, "the file", "a quote is opened", "close it"),
    ("[python3, agent.py]", "[python3", 4, "the file", "a bracket is opened", "close it"),
    ("goal: W", "goal W\nx: ", 2, "the file", "a line without `key: value`", "add the colon"),
    ("goal: W", "goal: *nothing\nx: W", 2, "the file", "an alias", "write the value out"),
    ("goal: W", "goal: @W", 2, "the file", "a character begins a value", "quote the value"),
    ("goal: W", "---\ngoal: W", 2, "the file", "a second document", "keep one"),
    ("goal: W", "goal: \x01W", 2, "the file", "U+0001", "remove it"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "field", "wrong", "mend"), REPLACED)
def test_each_fault_names_file_line_field_and_mend(
    folder: Path, old: str, new: str, line: int, field: str, wrong: str, mend: str
) -> None:
    """One mistake in a good file is one line that says where, what, and what to do."""
    assert GOOD.count(old) >= 1
    faults = faults_of(GOOD.replace(old, new, 1), folder)
    begin = f"{folder}/project.yaml:{line}: {field}: "
    ours = [fault for fault in faults if fault.startswith(begin)]
    assert ours, faults
    assert wrong in ours[0].removeprefix(begin)
    assert mend in ours[0]
    assert "\n" not in ours[0]


def test_all_faults_come_at_once_in_the_order_of_the_file(folder: Path) -> None:
    """A file is mended in one go: faults of shape, of kinds, and of this machine together."""
    faults = faults_of(
        "name: Bad\ngoal: x\nagent: {command: []}\nsteps:\n  plna: {}\n  file: {folder: gone}\n"
        "audit:\n  rate: often\n  auditors:\n    - {command: [nonesuch-x]}\n    - {person: 1}\n",
        folder,
    )
    fields = [fault.split(": ")[1] for fault in faults]
    assert fields == [
        "name",
        "agent.command",
        "steps.plna",
        "steps.file.folder",
        "audit.rate",
        "audit.auditors[0].command",
        "audit.auditors[1].person",
    ]


def test_a_rate_that_nobody_can_honour_is_a_fault(folder: Path) -> None:
    """Without auditors a drawn audit would be unmeasured for ever; never is a rate of its own."""
    base = GOOD[: GOOD.index("audit:\n")]
    assert "rate" in faults_of(base.replace(", audit: 0.5", ""), folder)[0]
    with_rate = faults_of(f"{base}audit: {{rate: 0.1}}\n", folder)
    assert [fault.split(": ")[1] for fault in with_rate] == ["steps.file.audit", "audit.rate"]
    assert all("add one under `audit.auditors`, or write `never`" in fault for fault in with_rate)
    never = base.replace("audit: 0.5", "audit: never").replace("plan:", "plan: {audit: 0}")
    (folder / "project.yaml").write_text(never)
    assert load(folder / "project.yaml").project.audit.rate == 1.0


def test_what_is_no_file_is_said_in_one_line(tmp_path: Path) -> None:
    """A missing file, a folder and an unreadable name are bad input, not a traceback."""
    for path, wrong in (
        (tmp_path / "gone.yaml", "no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "nul\0", "cannot be read"),
    ):
        with pytest.raises(ProjectInvalid) as caught:
            load(path)
        assert len(caught.value.faults) == 1
        assert wrong in caught.value.faults[0]


_BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        (b"", "is empty"),
        (b"# only a remark\n", "is empty"),
        (b"- 1\n", "holds no project; write a mapping"),
        (b"just text", "holds no project; write a mapping"),
        (b"name: \xff\n", "byte 0xff is not UTF-8"),
        ("name: x\n".encode("utf-16"), "is not UTF-8"),
        (b"a: 1\n" * 300_000, "more than 1048576"),
        (b"[" * 100_000, "deeper than 32 levels"),
        (_BOMB.encode(), "once its aliases are written out"),
        (b"x: &a [*a]", "once its aliases are written out"),
        (b"%YAML 9.9\n---\na: 1\n", "is not YAML"),
    ],
)
def test_what_is_no_project_at_all_is_bounded(tmp_path: Path, source: bytes, wrong: str) -> None:
    """Nothing that a file can hold takes more than a moment or more than its share of memory."""
    faults = faults_of(source, tmp_path)
    assert len(faults) == 1
    assert wrong in faults[0]


def test_nothing_in_the_file_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment variable in the file is text; the record shows what was run."""
    monkeypatch.setenv("GOAL", "secret")
    source = GOOD.replace("Write the answer.", "$GOAL ${GOAL}").encode()
    assert parse(source, folder / "p.yaml").project.goal == "$GOAL ${GOAL}"


def test_a_run_that_is_over_can_be_read_without_its_files(tmp_path: Path) -> None:
    """What a project named need not be there any more to show what was done."""
    with pytest.raises(ProjectInvalid):
        parse(GOOD.encode(), tmp_path / "p.yaml")
    assert parse(GOOD.encode(), tmp_path / "p.yaml", on_disk=False).project.name == "tiny"


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(source: bytes) -> None:
    """Whatever the bytes are, they are a project or have faults; every fault is one line."""
    with pytest.raises(ProjectInvalid) as caught:
        parse(source, Path("p.yaml"))
    assert all("\n" not in fault for fault in caught.value.faults)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.sampled_from(["name", "agent", "box", "steps", "audit", "policy", "limits"]), _VALUES)
def test_no_value_in_no_section_breaks_the_reader(section: str, value: Any) -> None:
    """Sections of any shape are told apart from good ones without an error of our own."""
    from ruamel.yaml import YAML
    from ruamel.yaml.compat import StringIO

    out = StringIO()
    YAML(typ="safe", pure=True).dump({section: value}, out)
    with pytest.raises(ProjectInvalid) as caught:
        parse(out.getvalue().encode(), Path("p.yaml"))
    for fault in caught.value.faults:
        assert re.match(r"p\.yaml:\d+: .+: .+", fault), fault


def test_the_schema_knows_every_kind_and_the_ways_to_write_sizes() -> None:
    """Editors can check a file with it: kinds with their own fields, sizes and rates as text."""
    whole = schema()
    steps = whole["properties"]["steps"]
    assert set(steps["properties"]) == set(KINDS)
    assert steps["additionalProperties"] is False
    for kind, executor in KINDS.items():
        name = steps["properties"][kind]["anyOf"][0]["$ref"].removeprefix("#/$defs/")
        assert set(whole["$defs"][name]["properties"]) == set(executor.Settings.model_fields)
    memory = whole["$defs"]["BoxSettings"]["properties"]["memory"]
    assert {"type": "string"} in memory["anyOf"]
    assert "from" in whole["$defs"]["FileSettings"]["properties"]


def test_a_key_that_was_written_into_the_file_is_not_shown(folder: Path) -> None:
    """Whoever mistakes `policy.key` must not find the key in the logs."""
    text = GOOD.replace(
        "policy: {scripted: policy.jsonl}", "policy: {openai: http://x, models: [m], key: sk-12345}"
    )
    told = faults_of(text, folder)
    assert told
    assert "sk-12345" not in str(told)


def test_packages_reach_the_box(tmp_path: Path) -> None:
    """An image by name is that image; a mapping says what is added to which."""

    def spec(image: str) -> tuple[str, Packages | None]:
        head = "name: x\ngoal: g\nagent: {command: [a]}\nsteps: {plan: {audit: never}}\n"
        made = spec_of(parse((head + image).encode(), tmp_path / "p.yaml").project, tmp_path)
        return made.image, made.packages

    assert spec("") == ("monastery-box:latest", None)
    assert spec("box: {image: own:1}") == ("own:1", None)
    assert spec("box: {image: {from: own:1}}") == ("own:1", None)
    added = "box: {image: {debian: [git, ripgrep], pip: ['mini-swe-agent[full]==1.0', a>=2]}}"
    packages = Packages(("git", "ripgrep"), ("mini-swe-agent[full]==1.0", "a>=2"))
    assert spec(added) == ("monastery-box:latest", packages)
