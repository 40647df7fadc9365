"""Everything that can be used up: the attack ends with a verdict, its neighbour goes on."""

from dataclasses import replace

import pytest

from monastery.runtime.records import BoxSpec
from monastery.sandbox import exhaustion
from monastery.sandbox.box import DockerSandbox
from monastery.sandbox.conformance import LIMITS
from monastery.sandbox.exhaustion import ATTACKS, Attack

BUSY_SECONDS = 60.0
"""How slow a neighbour may be here, where other tests and builds share the machine: not stopped."""


@pytest.mark.deadline(400)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
async def test_nothing_can_be_used_up(opened, image, attack: Attack) -> None:
    """The attack ends as it should, and its neighbour goes on meanwhile."""
    async with opened() as neighbour:
        spec = BoxSpec(image, LIMITS)
        found = await exhaustion.attack_one(
            attack, DockerSandbox(), spec, neighbour, slowest_seconds=BUSY_SECONDS
        )
    assert found.verdict == "holds", found


async def test_an_attack_that_harms_is_found(opened, image) -> None:
    """The check can fail: without its limit the memory bomb is not told as one."""
    bomb = next(attack for attack in ATTACKS if attack.name == "memory bomb")
    roomy = replace(LIMITS, memory_bytes=1 << 30)

    async def play(box):
        text = "held = bytearray(256 << 20); print('held')"
        return await exhaustion._agent_ends(box, text, exhaustion.LimitExceeded, ("memory",))

    async with opened() as neighbour:
        spec = BoxSpec(image, roomy)
        attack = replace(bomb, play=play)
        found = await exhaustion.attack_one(attack, DockerSandbox(), spec, neighbour)
    assert found.verdict == "fails", found
