"""The store itself: A2, A9, S10, its schema's version, and the disks it refuses."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from annotate_support import Clock, Office, office
from postgres import Server
from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError, InterfaceError
from support import easyds, in_a_fork, item_row, make_task

from harness import annotate, task
from harness.annotate import schema
from harness.annotate.store import Store
from harness.errors import UsageError
from harness.types import Task

PEOPLE, VOTES, OVERLAP = 16, 50, 2


def vote_in_a_process(url: str, person: str, campaign: str, votes: int) -> None:
    """What one annotator's server process does. Every save is asked for twice, as an impatient person would."""
    store = annotate.open_store(url)
    for _ in range(votes):
        shown = annotate.next_task(store, person, campaign)
        if shown is None:
            break
        annotate.save_draft(store, person, shown.token, {"verdict": "left"})
        answers = annotate.Preference("left")
        assert annotate.submit(store, person, shown.token, answers) == annotate.Saved(already=False, counted=True)
        assert annotate.submit(store, person, shown.token, answers).already
    os._exit(0)


def crowd(url: str, folder: Path, units: int, votes: int) -> Counter[int]:
    """16 processes that vote at once. Fails if a vote is lost, doubled or over the overlap. Returns votes by unit."""
    lesson = task.load(str(make_task(folder / "task", [item_row(i, split="train") for i in range(units)])))
    store = annotate.open_store(url)
    one = office(store, lesson, folder / "runs", "compare", ("good", "poor"), overlap=OVERLAP)
    people = [one.hire(f"p{number}") for number in range(PEOPLE)]
    store.close()
    processes = [
        in_a_fork(lambda person=person: vote_in_a_process(url, person, one.campaign, votes)) for person in people
    ]
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * PEOPLE
    table, revision = schema.presentation, schema.revision
    with annotate.open_store(url).read() as tx:
        found = tx.execute(select(table.c.unit, table.c.person, table.c.slot, table.c.state)).all()
        per_token = tx.execute(select(func.count()).select_from(revision).group_by(revision.c.presentation)).scalars()
        assert set(per_token) == {1}, "every vote once"
        assert tx.execute(select(func.count()).select_from(revision)).scalar() == len(found), "no vote lost"
        mine = annotate.progress(annotate.open_store(url), people[0], one.campaign)
    assert {row.state for row in found} == {"done"}
    assert all(row.slot in range(1, OVERLAP + 1) for row in found)
    assert len({(row.unit, row.person) for row in found}) == len(found), "nobody twice on a unit"
    assert len({(row.unit, row.slot) for row in found}) == len(found)
    assert mine.given == len(found)
    if units > PEOPLE * votes / OVERLAP:
        assert set(Counter(row.person for row in found).values()) == {votes}
    return Counter(row.unit for row in found)


@pytest.mark.slow
def test_sixteen_people_fifty_votes_at_once(url: str, tmp_path: Path) -> None:
    """A2. Enough units for everyone: every one of the 800 votes is there."""
    counts = crowd(url, tmp_path, units=450, votes=VOTES)
    assert sum(counts.values()) == PEOPLE * VOTES
    assert max(counts.values()) <= OVERLAP


def test_sixteen_people_until_nothing_is_left(url: str, tmp_path: Path) -> None:
    """A2. Few units: all are judged twice and none a third time."""
    counts = crowd(url, tmp_path, units=24, votes=VOTES)
    assert set(counts.values()) == {OVERLAP}
    assert len(counts) == 24


def test_threads_share_one_store(lesson: Task, runs: Path, url: str) -> None:
    """As the app's sessions do."""
    store = annotate.open_store(url)
    one = office(store, lesson, runs, "compare", overlap=4)
    people = [one.hire(f"p{number}") for number in range(24)]
    with ThreadPoolExecutor(len(people)) as pool:
        given = list(pool.map(lambda person: one.work(person, lambda _: {"verdict": "left"}, limit=3), people))
    assert given == [3] * 24
    assert annotate.progress(store, people[0], one.campaign).given == 72


def test_one_person_in_many_tabs_at_once_has_one_task_and_one_vote(lesson: Task, runs: Path, url: str) -> None:
    """A1, A2: the person's own writes wait for each other, so that no tab ends in an error."""
    store = annotate.open_store(url)
    one = office(store, lesson, runs, "compare")
    ann = one.hire("ann")
    with ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            shown = list(pool.map(lambda _: one.next(ann), range(8)))
            assert shown[0] is not None
            assert {each.token for each in shown if each} == {shown[0].token}
            saved = list(pool.map(lambda task: one.submit(ann, task, "left").already, shown))
            assert sorted(saved) == [False] + [True] * 7


def test_a_locked_store_says_so_and_keeps_what_was_typed(lesson: Task, runs: Path, tmp_path: Path) -> None:
    """A9, SQLite."""
    path = tmp_path / "annotations.db"
    store = annotate.open_store(path, Clock(), busy_s=0.1)
    one = office(store, lesson, runs, "compare")
    ann = one.hire("ann")
    shown = one.next(ann)
    assert shown is not None
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(annotate.StoreBusy, match="try again"):
        one.submit(ann, shown, "left")
    assert annotate.history(store, ann, one.campaign) == [], "reading goes on meanwhile"
    other.execute("ROLLBACK")
    assert one.submit(ann, shown, "left") == annotate.Saved(already=False, counted=True)


def test_a_server_that_is_down_says_so_and_works_again_when_it_is_back(
    lesson: Task, runs: Path, postgres: Server
) -> None:
    """A9, PostgreSQL."""
    store = annotate.open_store(postgres.empty(), Clock())
    one = office(store, lesson, runs, "compare")
    ann = one.hire("ann")
    shown = one.next(ann)
    assert shown is not None
    postgres.stop()
    try:
        with pytest.raises(annotate.StoreBusy, match="try again"):
            one.submit(ann, shown, "left")
    finally:
        postgres.start()
    assert one.submit(ann, shown, "left") == annotate.Saved(already=False, counted=True)
    postgres.stop()
    postgres.start()
    assert one.next(ann) is not None, "a restart between two calls is not noticed"


def test_a_connection_that_broke_off_is_told_in_a_line(store: Store) -> None:
    """A9"""
    closed = InterfaceError("select 1", None, Exception("the connection is closed"), connection_invalidated=True)
    with pytest.raises(annotate.StoreBusy, match="broke off"), store.write():
        raise closed


def test_a_password_is_in_no_message() -> None:
    """S8"""
    with pytest.raises(annotate.StoreBusy) as told:
        annotate.open_store("postgresql://someone:hunter2@127.0.0.1:9/none")
    cause: BaseException | None = told.value
    while cause is not None:
        assert "hunter2" not in str(cause)
        cause = cause.__cause__


def test_an_error_of_the_database_does_not_say_what_was_written(url: str) -> None:
    """S8"""
    store = annotate.open_store(url)
    with pytest.raises(IntegrityError) as told, store.write() as tx:
        tx.execute(insert(schema.meta).values(key="salt", value="hunter2"))
    assert "hunter2" not in str(told.value)


def test_a_write_waits_for_another_instead_of_failing(tmp_path: Path, lesson: Task, runs: Path) -> None:
    """The trap of SQLite: a transaction that read first and then writes fails at once, however long it may wait."""
    store = annotate.open_store(tmp_path / "annotations.db")
    lead = annotate.operator(store, "lead").id
    started, finish = threading.Event(), threading.Event()

    def slow() -> None:
        with store.write() as tx:
            tx.execute(select(schema.person))
            started.set()
            finish.wait(10)
            store.audit(tx, lead, "slow")

    thread = threading.Thread(target=slow)
    thread.start()
    started.wait(10)
    threading.Timer(0.2, finish.set).start()
    with store.write() as tx:  # reads, then writes, while the other one does the same
        tx.execute(select(schema.person))
        store.audit(tx, lead, "quick")
    thread.join()
    with store.read() as tx:
        actions = tx.execute(select(schema.audit.c.action).order_by(schema.audit.c.id)).scalars().all()
    assert actions[-2:] == ["slow", "quick"]


def test_another_schema_version_is_refused(url: str) -> None:
    store = annotate.open_store(url)
    for version, hint in (("2", "newer"), ("0", "No migration"), ("x", "No migration")):
        with store.write() as tx:
            tx.execute(update(schema.meta).where(schema.meta.c.key == "schema_version").values(value=version))
        with pytest.raises(UsageError, match=f"schema version {version}.*{hint}"):
            annotate.open_store(url)


def test_processes_that_open_a_new_store_at_once_make_it_once(url: str) -> None:
    def start() -> None:
        annotate.open_store(url)
        os._exit(0)

    processes = [in_a_fork(start) for _ in range(8)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 8
    with annotate.open_store(url).read() as tx:
        assert tx.execute(select(func.count()).select_from(schema.meta)).scalar() == 2


@pytest.mark.parametrize("where", ["sqlite://", "sqlite:///:memory:", "mysql://host/x", "nonsense://"])
def test_urls_that_are_no_store(where: str) -> None:
    with pytest.raises(UsageError):
        annotate.open_store(where)


def test_a_disk_without_a_write_ahead_log_is_refused(tmp_path: Path) -> None:
    """As on a network disk, there is no shared memory with SQLite's dot-file locks, and so no such journal."""
    with pytest.raises(UsageError, match="write-ahead log does not work here"):
        annotate.open_store(f"sqlite:///file:{tmp_path}/annotations.db?vfs=unix-dotfile&uri=true")


def test_there_is_nobody_until_someone_is_invited_and_a_token_works_once(store: Store, clock: Clock) -> None:
    """S10"""
    with store.read() as tx:
        assert tx.execute(select(func.count()).select_from(schema.person)).scalar() == 0
    lead = annotate.operator(store, "lead")
    token = annotate.invite(store, lead.id, "annotator")
    assert token not in str(_everything(store)), "the token itself is not in the store"
    with pytest.raises(annotate.Refused):
        annotate.redeem(store, "guess", "https://sign.in", "ann", "Ann")
    with pytest.raises(UsageError):
        annotate.redeem(store, token, "local", "ann", "Ann")
    ann = annotate.redeem(store, token, "https://sign.in", "ann", "Ann‮\x00<b>")
    assert (ann.role, ann.name) == ("annotator", "Ann<b>")
    assert annotate.signed_in(store, "https://sign.in", "ann") == ann
    assert annotate.signed_in(store, "https://elsewhere", "ann") is None
    with pytest.raises(annotate.Refused):
        annotate.redeem(store, token, "https://sign.in", "ben", "Ben")
    late = annotate.invite(store, lead.id, "annotator")
    clock.now += 8 * 86400
    with pytest.raises(annotate.Refused):
        annotate.redeem(store, late, "https://sign.in", "ben", "Ben")


def _everything(store: Store) -> list[object]:
    with store.read() as tx:
        return [list(tx.execute(select(table))) for table in schema.metadata.sorted_tables]


def test_only_a_lead_does_what_leads_do(desk: object) -> None:
    """Roles are checked on every write."""
    one: Office = desk()  # type: ignore[operator]
    ann, ben = one.hire("ann"), one.hire("ben")
    calls = [
        lambda: annotate.invite(one.store, ann, "lead"),
        lambda: annotate.set_role(one.store, ann, ann, "lead"),
        lambda: annotate.set_open(one.store, ann, one.campaign, False),
        lambda: annotate.grant(one.store, ann, one.campaign, ann, "en", "because"),
        lambda: annotate.create(one.store, ann, "mine", "compare", one.task, runs_of(one)),
        lambda: annotate.refresh(one.store, ann, one.campaign, one.task, runs_of(one)),
        lambda: annotate.everyone(one.store, ann),
    ]
    for call in calls:
        with pytest.raises(annotate.Refused, match="not a lead"):
            call()
    annotate.set_role(one.store, one.lead, ben, "lead")
    annotate.set_role(one.store, ben, one.lead, "revoked")
    with pytest.raises(UsageError, match="only lead"):
        annotate.set_role(one.store, ben, ben, "annotator")
    assert annotate.operator(one.store, "lead").role == "revoked", "the command line does not give it back"


def runs_of(one: Office) -> list[object]:
    from harness.record import find_runs

    return find_runs(one.runs)  # type: ignore[return-value]


def test_importing_the_harness_does_not_import_sqlalchemy() -> None:
    done = easyds("--help", before="import atexit; atexit.register(lambda: print('sqlalchemy' in sys.modules))")
    assert done.stdout.strip().endswith("False")
