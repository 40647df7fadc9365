"""The lease: whose a run is, on clocks that jump, and what a second runtime is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

from monastery.runtime.errors import BadInput, LeaseLapsed, NotOwner, RunHeld, StoreError
from monastery.runtime.heartbeat import Keep, kept, take
from monastery.runtime.lease import FREE, HELD, TERMS, Lease, Moment, Terms, standing
from monastery.runtime.owner import this_process
from monastery.runtime.records import RunId
from monastery.runtime.rows import RunRow
from monastery.runtime.store import Store
from tests.runtime.world import inline

RUN = RunId("run-1")
HERE = this_process()
MACHINE, BOOT, SPACE, PID, START = HERE.split("/")
STRANGER = f"{MACHINE}/{BOOT}/1/1/1"
"""In another container of this machine: it cannot be judged, but has the same boot clock."""
ELSEWHERE = "another-machine/b/1/1/1"
DEAD = f"{MACHINE}/an-earlier-boot/1/1/1"
THEN = Moment(datetime(2026, 11, 21, 12, tzinfo=UTC), boot=1000.0)


def _later(boot: float, wall: float | None = None) -> Moment:
    """Return a moment so many seconds after `THEN`, by the boot's clock and by the wall's."""
    return Moment(
        THEN.wall + timedelta(seconds=boot if wall is None else wall), boot=THEN.boot + boot
    )


LEASE = Lease.begun(1, TERMS.lease_seconds, THEN)
DAY = 86400.0


@pytest.mark.parametrize("jump", [0.0, DAY, -DAY])
@pytest.mark.parametrize("owner", [HERE, STRANGER], ids=["here", "stranger"])
def test_on_one_machine_the_wall_clock_decides_nothing(owner: str, jump: float) -> None:
    """Set a day ahead or back, it neither takes a lease away nor keeps one alive."""
    assert standing(owner, LEASE, _later(59, 59 + jump)) == HELD
    almost = standing(owner, LEASE, _later(61, 61 + jump))
    assert (almost.held, almost.wait_seconds) == (False, 9.0)
    assert standing(owner, LEASE, _later(71, 71 + jump)) == FREE


@pytest.mark.parametrize("jump", [DAY, -DAY, -61.0, 61.0])
def test_between_machines_a_clock_that_jumped_takes_nothing_away(jump: float) -> None:
    """Whatever the two wall clocks say, a run of another machine is never taken without a watch."""
    found = standing(ELSEWHERE, LEASE, _later(0, jump))
    assert found.watch
    assert found.wait_seconds == TERMS.lease_seconds + TERMS.margin_seconds


def test_between_machines_a_lease_that_is_valid_refuses_at_once() -> None:
    """Nobody waits to be told that a run is being run."""
    assert standing(ELSEWHERE, LEASE, _later(5)) == HELD


def test_who_is_surely_dead_holds_nothing_and_who_wrote_no_lease_holds() -> None:
    """The dead are not waited for; a run of a version without leases is judged by its process."""
    assert standing(DEAD, LEASE, _later(1)) == FREE
    assert standing(None, LEASE, _later(1)) == FREE
    assert standing(HERE, None, _later(1)) == HELD


def _made(store: Store, owner: str) -> RunRow:
    return store.create_run(
        RUN, project="p", project_path=Path("/p.yaml"), owner=owner, seed=bytes(32)
    )


def _lapse(store: Store, seconds: float, wall_seconds: float | None = None) -> None:
    """Write the run's lease as if its last beat were so long ago."""
    now = Moment.now()
    wall = now.wall - timedelta(seconds=seconds if wall_seconds is None else wall_seconds)
    was = Moment(wall, now.boot - seconds)
    with store._transaction():
        store._lease(RUN, Lease.begun(1, TERMS.lease_seconds, was))


def test_a_second_runtime_is_told_who_has_the_run_and_until_when(tmp_path: Path) -> None:
    """One line; the status is that of a run that lives."""
    with Store.open(tmp_path) as store:
        _made(store, STRANGER)
        with pytest.raises(RunHeld, match=r"process 1 on this machine in another .* until 20\d\d-"):
            store.claim(RUN, HERE)
        assert store.run(RUN).status == "running"


def test_a_lapsed_lease_is_taken_over_after_its_margin(tmp_path: Path) -> None:
    """An owner that lives but has not renewed: first the wait is asked for, then it is fenced."""
    with Store.open(tmp_path) as store:
        old = _made(store, f"{MACHINE}/{BOOT}/{SPACE}/{PID}/{START}")
        _lapse(store, TERMS.lease_seconds + 1)
        with pytest.raises(LeaseLapsed) as told:
            store.claim(RUN, "me")
        assert 0 < told.value.wait_seconds <= TERMS.margin_seconds
        _lapse(store, TERMS.lease_seconds + TERMS.margin_seconds + 1)
        assert store.run(RUN).status == "interrupted"
        assert store.claim(RUN, "me").epoch == old.epoch + 1
        with pytest.raises(NotOwner, match="taken over"):
            store.renew(RUN, old.epoch, 60.0)


@pytest.mark.parametrize("renewed", [False, True])
async def test_a_run_of_another_machine_is_watched_for_a_whole_lease(
    tmp_path: Path, renewed: bool
) -> None:
    """Renewed meanwhile it is refused, whatever its clock says; else it is taken over."""
    said: list[str] = []
    slept: list[float] = []
    with Store.open(tmp_path) as store, Store.open(tmp_path) as theirs:
        _made(store, ELSEWHERE)
        _lapse(store, 0.0, wall_seconds=DAY)

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if renewed:
                theirs.renew(RUN, 1, TERMS.lease_seconds)
                _lapse(theirs, 0.0, wall_seconds=DAY)
                theirs._db.execute("UPDATE leases SET beats = 7")

        if renewed:
            with pytest.raises(RunHeld, match="renewed by its runtime meanwhile"):
                await take(store, RUN, HERE, say=said.append, sleep=sleep)
        else:
            taken = await take(store, RUN, HERE, say=said.append, sleep=sleep)
            assert taken.epoch == 2
    assert slept == [TERMS.lease_seconds + TERMS.margin_seconds]
    assert "waiting 70 s" in said[0]


async def test_the_heart_beats_until_the_block_ends_and_arms_the_timer(tmp_path: Path) -> None:
    """Each beat lengthens the lease, and puts the timer off to before the lease's end."""
    terms = Terms(lease_seconds=30.0, beat_seconds=0.01, timer_seconds=25.0, margin_seconds=1.0)
    armed: list[float | None] = []
    beaten = trio.Event()

    def arm(run: str, ends: float | None) -> None:
        armed.append(ends)
        if len(armed) == 4:
            beaten.set()

    with Store.open(tmp_path) as store:
        row = _made(store, HERE)
        async with kept(tmp_path, row, Keep(terms, arm), trio.to_thread.run_sync):
            await beaten.wait()
            lease = store.lease(RUN)
            assert lease is not None
            assert lease.beats >= 4
            last = armed[-1]
            assert last is not None
            assert last < lease.until_boot
        assert armed[-1] is None


async def test_who_was_taken_over_stops_acting(tmp_path: Path) -> None:
    """The next beat finds it out, and what is being done is cancelled."""
    terms = replace(TERMS, beat_seconds=0.01)
    with Store.open(tmp_path) as store:
        row = _made(store, HERE)

        async def act() -> None:
            async with kept(tmp_path, row, Keep(terms), trio.to_thread.run_sync):
                store.claim(RUN, HERE)
                await trio.sleep_forever()

        with pytest.raises(NotOwner, match="taken over"):
            await act()


async def test_a_lease_that_cannot_be_renewed_ends_the_run_with_a_line(tmp_path: Path) -> None:
    """One failed beat is borne; when there is no time for another, the reason is told."""
    terms = Terms(lease_seconds=2.0, beat_seconds=0.1, timer_seconds=0.5, margin_seconds=0.1)
    with Store.open(tmp_path) as store:
        row = _made(store, HERE)

        async def act() -> None:
            async with kept(tmp_path, row, Keep(terms), trio.to_thread.run_sync):
                store._db.execute("ALTER TABLE leases RENAME TO elsewhere")
                await trio.sleep_forever()

        with pytest.raises(StoreError, match="lease of run 'run-1' runs out: cannot"):
            await act()


async def test_a_stopped_run_beats_on_through_its_clean_up(tmp_path: Path) -> None:
    """What is cancelled still removes its box, for longer than a lease may go unrenewed."""
    terms, beaten = replace(TERMS, beat_seconds=0.01), trio.Event()

    def arm(run: str, ends: float | None) -> None:
        if scope.cancel_called and ends is not None:
            beaten.set()

    with Store.open(tmp_path) as store:
        row = _made(store, HERE)
        with trio.CancelScope() as scope:
            async with kept(tmp_path, row, Keep(terms, arm), inline):
                scope.cancel()
                with trio.move_on_after(30, shield=True):
                    await beaten.wait()
        assert beaten.is_set()


def test_a_run_that_was_made_before_there_were_leases_can_be_claimed(tmp_path: Path) -> None:
    """Its owner's process alone is judged."""
    with Store.open(tmp_path) as store:
        _made(store, DEAD)
        store._db.execute("DELETE FROM leases")
        assert store.lease(RUN) is None
        assert store.claim(RUN, HERE).epoch == 2
        assert store.lease(RUN) is not None
        with pytest.raises(BadInput, match="no run"):
            store.claim(RunId("none"), HERE)
