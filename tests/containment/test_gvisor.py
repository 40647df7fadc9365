"""The same suite under gVisor, on a second engine that the tests start and end."""

from monastery.sandbox.examine import examine

GUEST = {
    *("guest's stdout", "guest's stdin", "guest's environment", "guest's memory map"),
    "guest's descriptors listed",
}
"""What is open under gVisor and not under runc: it does not know PR_SET_DUMPABLE."""


async def test_what_holds_under_gvisor(gvisor, image, monkeypatch) -> None:
    """Nothing leads out of it; what fails is known: its guest can be spoken for by the agent."""
    monkeypatch.setenv("DOCKER_HOST", gvisor)
    found = await examine(image, runtime="runsc")
    fails = {one.probe for group in found.values() for one in group if one.verdict == "fails"}
    assert fails <= GUEST
    for one in found["egress"]:
        assert one.verdict == "holds" or "gVisor's kernel answers" in one.seen, one
    unknown = [one for group in found.values() for one in group if one.verdict == "unknown"]
    surprises = [one for one in unknown if "gVisor's kernel answers" not in one.seen]
    assert {one.probe for one in surprises} <= {"user namespaces", "storage driver", "live-restore"}
    assert {one.probe: one.verdict for one in found["from outside"]}["freeze"] == "holds"


async def test_a_runtime_that_is_not_there_is_said(image) -> None:
    """`doctor --runtime` names those that the engine has."""
    found = await examine(image, runtime="nonesuch")
    assert found["engine"][-1].verdict == "fails"
    assert "runc" in found["engine"][-1].seen
    assert set(found) == {"engine"}
