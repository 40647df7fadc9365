"""Rollouts in real boxes: isolated as the run's own, from the boundary's files, and then gone."""

import json
from pathlib import Path

from monastery.runtime.ports import Forkable
from monastery.runtime.project_file import parse
from monastery.runtime.records import Case, Vote
from monastery.runtime.run import World
from monastery.runtime.runner import go, new_run
from monastery.runtime.store import Store
from monastery.runtime.story import tell
from monastery.runtime.verify import verify
from monastery.sandbox.box import DockerSandbox
from tests.runtime.world import Notebook

AGENT = """
import json, os, uuid
from monastery_box import history, propose

if not history():
    open("before", "w").close()
    propose("note", "begin", "because")
if len(history()) < 2:
    open(f"thought-{uuid.uuid4()}", "w").close()
    propose("note", json.dumps(sorted(os.listdir("."))), "because")
"""

PROJECT = b"""
name: rolled
goal: Say what lies here.
agent: {command: [python3, agent.py]}
box: {files: [{from: agent.py, to: agent.py}]}
steps: {plan: {audit: always}}
audit: {auditors: [{person: nobody}], alternatives: 3}
"""


class Compares:
    """Gives each alternative the same score."""

    name = "compares"

    def __init__(self) -> None:
        self.cases: list[Case] = []

    async def judge(self, case: Case, box: Forkable) -> Vote:
        """Approve."""
        self.cases.append(case)
        return Vote(self.name, "approve", 0.5, scores=(0.5,) * len(case.alternatives))


async def test_rollouts_start_from_the_boundary_and_leave_nothing(
    tmp_path: Path, image: str, engine_api
) -> None:
    """Each finds what lay there when its segment began, and nothing that the live one wrote since.

    The first step's proposals are the same, and are shown as one; the second's differ.
    """
    (tmp_path / "agent.py").write_text(AGENT)
    loaded = parse(PROJECT, tmp_path / "project.yaml")
    steps = {"note": loaded.project.steps["plan"]}
    loaded = type(loaded)(
        loaded.project.model_copy(update={"steps": steps}), tmp_path, loaded.path, loaded.source
    )
    auditor, notebook = Compares(), Notebook()
    with Store.open(tmp_path) as store:
        row = new_run(store, loaded)
    ending = await go(
        tmp_path,
        row,
        loaded,
        lambda desk, calls: World(
            DockerSandbox(home=tmp_path), [auditor], {"note": notebook}, None
        ),
        lambda record: None,
    )
    assert ending.success, ending
    first, second = auditor.cases
    assert first.alternatives == ()
    found = [json.loads(one.proposal.payload) for one in second.alternatives]
    assert len({str(files) for files in found}) == 3
    for files in found:
        assert files[:2] == ["agent.py", "before"]
        assert [name[:8] for name in files[2:]] == ["thought-"]
    assert notebook.done == [b"begin", second.proposal.payload]
    with Store.open(tmp_path) as store:
        told = tell(store, row.run)
        assert False not in {one.verdict for one in verify(store, row.run)}
    assert sum(one.reward is not None for one in told.segments[1].alternatives.values()) == 2
    labelled = {"label": f"monastery.run={row.run}"}
    assert engine_api.containers(all=True, filters=labelled) == []
    assert not engine_api.volumes(filters=labelled)["Volumes"]
    assert not (tmp_path / "moments" / row.run).exists()


async def test_a_rollouts_box_is_configured_as_the_runs_own(
    docker_sandbox, opened, engine_api
) -> None:
    """No network, the same limits, the same filters: all but the volume is alike."""
    async with opened(docker_sandbox) as box:
        await box.keep_moment("first")
        async with box.rollout("first") as other:
            both = []
            for name in (box.facts.box, other.facts.box):
                config = engine_api.inspect_container(name)["HostConfig"]
                assert config["NetworkMode"] == "none"
                both.append({key: value for key, value in config.items() if key != "Mounts"})
            assert both[0] == both[1]
