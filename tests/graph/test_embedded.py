from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from lineage_flows.errors import EventError, GraphError, HomeError, KeeperUnavailableError
from lineage_flows.graph import schema
from lineage_flows.graph.embedded import open_embedded
from lineage_flows.graph.identity import action_arn, artifact_arn
from lineage_flows.graph.keeper import Claim, Link
from lineage_flows.graph.model import Use
from lineage_flows.graph.project import project
from tests.graph.kit import action_of, events_of, graph_of, picture
from tests.support.records import backtest_record

RECORD = backtest_record()
EVENTS = events_of(RECORD)
TIME = "2026-01-30T21:30:00.000000Z"


def artifact(uri: str, **facts: str) -> Claim:
    return Claim("Artifact", artifact_arn(uri, ()), None, uri, (), None, "2", TIME, {"type": "DataSet", **facts})


def run(number: int) -> Claim:
    run_id = f"{number:08x}-0000-7000-8000-000000000000"
    name = f"run-{run_id}"
    uri = f"prefect://n/flow-run/{run_id}"
    return Claim(
        "Action", action_arn(name), name, uri, (("T", run_id),), f"run:{run_id}", "1", TIME, {"type": "FlowRun"}
    )


def as_nobody(work: Callable[[], object]) -> str:
    """What ``work`` returns, or the error it raises, in a child that has no rights but those of all users."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            answer = repr(work())
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "graph.db"


# Opening


def test_a_missing_graph_reads_as_empty_until_there_is_one(path: Path):
    reader = open_embedded(path, read_only=True)
    assert picture(reader) == ([], [])
    assert not path.parent.exists()
    project(EVENTS, open_embedded(path))
    assert len(reader.list_actions()) == 6


def test_a_graph_is_there_again_after_it_was_closed(path: Path):
    keeper = open_embedded(path)
    project(EVENTS, keeper)
    whole = picture(keeper)
    keeper.close()
    assert picture(open_embedded(path)) == whole
    assert picture(open_embedded(path, read_only=True)) == whole


def test_a_graph_opened_for_reading_is_not_written(path: Path):
    project(EVENTS, open_embedded(path))
    with pytest.raises(HomeError):
        project(EVENTS, open_embedded(path, read_only=True))


def test_an_empty_file_is_an_empty_graph(path: Path):
    path.parent.mkdir()
    path.touch()
    assert picture(open_embedded(path, read_only=True)) == ([], [])
    project(EVENTS, open_embedded(path))
    assert len(open_embedded(path).list_actions()) == 6


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("content", [b"this is no database, " * 100, b"SQLite format 3\0" + b"\xff" * 4096, b"x"])
def test_a_file_that_is_no_graph_is_refused_and_left_alone(path: Path, content: bytes, read_only: bool):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(KeeperUnavailableError) as caught:
        open_embedded(path, read_only=read_only)
    assert str(path) in caught.value.what
    assert caught.value.fix
    assert path.read_bytes() == content


@pytest.mark.parametrize("read_only", [False, True])
def test_another_programs_database_is_refused(path: Path, read_only: bool):
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE diary (line TEXT)")
    with pytest.raises(KeeperUnavailableError, match="not a lineage graph"):
        open_embedded(path, read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_graph_of_a_newer_release_is_refused_and_says_so(path: Path, read_only: bool):
    open_embedded(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION + 1}")
    with pytest.raises(KeeperUnavailableError, match="newer release") as caught:
        open_embedded(path, read_only=read_only)
    assert "upgrade" in caught.value.fix


def test_a_damaged_page_is_an_error_with_a_fix(path: Path):
    keeper = open_embedded(path)
    project(EVENTS, keeper)
    keeper.close()
    content = bytearray(path.read_bytes())
    for page in range(2, len(content) // 4096):
        content[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    path.write_bytes(content)
    with pytest.raises(KeeperUnavailableError, match="damaged") as caught:
        picture(open_embedded(path, read_only=True))
    assert "backup" in caught.value.fix


def test_damage_that_sqlite_does_not_notice_is_an_error_too(path: Path):
    keeper = open_embedded(path)
    project(EVENTS, keeper)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE entity SET layers = '[[' WHERE lineage = 'Action'")
    with pytest.raises(KeeperUnavailableError, match="damaged"):
        keeper.list_actions()


def test_a_graph_that_is_a_folder_is_refused(path: Path):
    path.mkdir(parents=True)
    for read_only in (False, True):
        with pytest.raises(KeeperUnavailableError):
            open_embedded(path, read_only=read_only)


def test_a_home_that_is_a_file_is_refused(path: Path):
    path.parent.write_text("x")
    with pytest.raises(HomeError) as caught:
        open_embedded(path)
    assert "LINEAGE_FLOWS_HOME" in caught.value.fix
    assert picture(open_embedded(path, read_only=True)) == ([], [])


# Rights


@pytest.fixture
def shared(path: Path) -> Path:
    """A graph others may read, in a folder others may not write."""
    project(EVENTS, keeper := open_embedded(path))
    keeper.close()
    for folder in (*path.parents,):
        if folder != Path("/") and folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | stat.S_IXOTH | stat.S_IROTH | stat.S_IXUSR)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    return path


def test_a_graph_in_a_folder_that_is_read_only_can_be_read(shared: Path):
    assert as_nobody(lambda: len(open_embedded(shared, read_only=True).list_actions())) == "6"
    assert sorted(item.name for item in shared.parent.iterdir()) == ["graph.db"]


def test_batches_that_lie_in_the_log_are_read_there_too(shared: Path):
    """A home that was copied, or whose writer was killed, has a log and no shared memory."""
    shared.parent.chmod(0o755)
    shared.chmod(0o644)
    keeper = open_embedded(shared)
    project(events_of(backtest_record("01935c2e-7a10-7c3e-9d1a-5b6f0a4cdd00")), keeper)
    log = shared.with_name("graph.db-wal").read_bytes()
    main = shared.read_bytes()
    keeper.close()
    shared.write_bytes(main)
    shared.with_name("graph.db-wal").write_bytes(log)
    shared.with_name("graph.db-wal").chmod(0o444)
    shared.parent.chmod(0o555)
    assert as_nobody(lambda: len(open_embedded(shared, read_only=True).list_actions())) == "12"


def test_writing_where_one_may_not_is_one_clear_error(shared: Path):
    answer = as_nobody(lambda: project(EVENTS, open_embedded(shared)))
    assert answer.startswith("HomeError: the lineage graph")
    assert "writable" in answer


def test_making_a_graph_where_one_may_not_is_one_clear_error(shared: Path):
    assert as_nobody(lambda: open_embedded(shared.parent / "deeper" / "graph.db")).startswith("HomeError: the folder")
    answer = as_nobody(lambda: open_embedded(shared.parent / "other.db"))
    assert answer.startswith(("HomeError", "KeeperUnavailableError"))


def test_a_graph_one_may_not_read_is_one_clear_error(shared: Path):
    shared.chmod(0o000)
    assert as_nobody(lambda: open_embedded(shared, read_only=True)).startswith(
        "KeeperUnavailableError: the lineage graph"
    )


# Batches


def test_a_full_disk_keeps_a_batch_out_whole_and_what_was_there_in(path: Path):
    keeper = open_embedded(path)
    project(EVENTS, keeper)
    whole = picture(keeper)
    connection: Any = keeper._connected()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    more = [
        event
        for number in range(20)
        for event in events_of(backtest_record(f"01935c2e-7a10-7c3e-9d1a-5b6f0a4c{number:02x}00"))
    ]
    with pytest.raises(HomeError, match="full") as caught:
        project(more, keeper)
    assert str(path.parent) in caught.value.fix
    assert picture(keeper) == whole
    connection.execute("PRAGMA max_page_count = 1000000")
    project(more, keeper)
    assert len(keeper.list_actions()) == 6 * 21


def test_a_batch_with_one_thing_that_breaks_a_limit_is_kept_out_whole(path: Path):
    keeper = open_embedded(path)
    with pytest.raises(EventError, match="cannot be kept"):
        keeper.upsert([artifact("file:///a"), artifact("file:///b", **{"p.k": "x" * 5000})])
    assert picture(keeper) == ([], [])


def test_a_link_to_nothing_is_refused(path: Path):
    keeper = open_embedded(path)
    with pytest.raises(GraphError, match="cannot be linked"):
        keeper.upsert([run(1)], [Link(artifact_arn("file:///a", ()), run(1).arn, "ContributedTo", TIME)])
    assert picture(keeper) == ([], [])


def test_a_link_to_a_run_shows_once_that_run_is_known(path: Path):
    keeper = open_embedded(path)
    one, two = run(1), run(2)
    keeper.upsert([one], [Link(str(one.handle), str(two.handle), "AssociatedWith", TIME)])
    assert keeper.associations() == []
    assert len(keeper.list_actions()) == len(keeper.search("run")) == 1
    keeper.upsert([two])
    assert [(edge.source_arn, edge.destination_arn) for edge in keeper.associations()] == [(one.arn, two.arn)]


def test_how_a_link_is_known_is_gathered_from_all_that_tell_of_it(path: Path):
    keeper, data, one = open_embedded(path), artifact("file:///a"), run(1)
    told = [
        (Use(name="x", known_by=("prefect",)),),
        (Use(name="y", part="/k"),),
        (),
        (Use(name="x", known_by=("content",)),),
    ]
    for uses in told:
        keeper.upsert([data, one], [Link(data.arn, str(one.handle), "ContributedTo", TIME, uses)])
    (edge,) = keeper.associations()
    assert edge.uses == (Use(name="x", known_by=("content", "prefect")), Use(name="y", part="/k"))


def test_of_a_file_touched_more_than_once_the_first_read_and_the_last_write_count(path: Path):
    keeper, one = open_embedded(path), run(1)
    for number, moments in enumerate(permutations(("2026-01-01", "2026-01-02", "2026-01-03", None))):
        data = artifact(f"file:///data/{number}")
        for moment in moments:
            uses = (Use(touched=moment),)
            read = Link(data.arn, str(one.handle), "ContributedTo", TIME, uses)
            keeper.upsert([data, one], [read, Link(str(one.handle), data.arn, "Produced", TIME, uses)])
        assert [edge.moment for edge in keeper.associations(sources=[data.arn])] == ["2026-01-01"]
        assert [edge.moment for edge in keeper.associations(destinations=[data.arn])] == ["2026-01-03"]


def test_a_graph_written_before_moments_were_known_is_read(path: Path):
    keeper = open_embedded(path)
    data, one = artifact("file:///data"), run(1)
    keeper.upsert([data, one], [Link(data.arn, str(one.handle), "ContributedTo", TIME, (Use(known_by=("open",)),))])
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT uses FROM association").fetchall() == [('[["","",["open"]]]',)]
    (edge,) = keeper.associations()
    assert (edge.uses, edge.moment) == ((Use(known_by=("open",)),), "")


def test_a_run_keeps_the_name_it_was_first_known_by(path: Path):
    keeper = open_embedded(path)
    first = run(1)
    keeper.upsert([first])
    renamed = Claim(
        "Action", action_arn("other"), "other", "u", first.sources, first.handle, "2", TIME, {"type": "Replay"}
    )
    keeper.upsert([renamed], [Link(str(first.handle), str(first.handle), "AssociatedWith", TIME)])
    (action,) = keeper.list_actions()
    assert (action.name, action.type) == (first.name, "Replay")


KILLED = """
    import os, signal, sqlite3, sys
    from pathlib import Path
    from lineage_flows.graph import schema
    from lineage_flows.graph.embedded import open_embedded
    from lineage_flows.graph.project import project
    from tests.graph.kit import events_of
    from tests.support.records import backtest_record

    keeper = open_embedded(Path(sys.argv[1]))
    left = int(sys.argv[2])

    def count(statement):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    keeper._connected().set_trace_callback(count)
    project(events_of(backtest_record("01935c2e-7a10-7c3e-9d1a-5b6f0a4cbb00")), keeper)
    print(left)
"""


def test_a_process_killed_at_any_statement_of_a_batch_leaves_all_of_it_or_nothing(path: Path):
    project(EVENTS, keeper := open_embedded(path))
    before = picture(keeper)
    after = picture(graph_of([*EVENTS, *events_of(backtest_record("01935c2e-7a10-7c3e-9d1a-5b6f0a4cbb00"))]))
    script = textwrap.dedent(KILLED)

    def attempt(statement: int) -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, "-c", script, str(path), str(statement)]
        return subprocess.run(arguments, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)

    found = picture(keeper)
    for statement in (1, 2, 3, 5, 10, 20, 40, 60, 80):
        result = attempt(statement)
        found = picture(keeper)
        if result.returncode == 0:
            break
        assert result.returncode == -signal.SIGKILL, result.stderr
        assert found in (before, after)
    attempt(10**9)
    assert picture(keeper) == after


# At the same time


PROJECTING = """
    import sys
    from pathlib import Path
    from lineage_flows.graph.embedded import open_embedded
    from lineage_flows.graph.project import project
    from tests.graph.kit import events_of
    from tests.support.records import backtest_record

    sys.stdin.readline()
    keeper = open_embedded(Path(sys.argv[1]))
    for number in range(12):
        events = events_of(backtest_record(f"01935c2e-7a10-7c3e-9d1a-5b6f0a4c{number:02x}00"))
        for event in events if int(sys.argv[2]) % 2 else reversed(events):
            project([event], keeper)
"""


def test_processes_that_make_and_fill_one_graph_at_once_lose_nothing(path: Path):
    script = textwrap.dedent(PROJECTING)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), str(number)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    records = [backtest_record(f"01935c2e-7a10-7c3e-9d1a-5b6f0a4c{number:02x}00") for number in range(12)]
    expected = picture(graph_of([event for record in records for event in events_of(record)]))
    assert picture(open_embedded(path)) == expected


def test_a_process_that_lost_the_race_to_make_a_graph_takes_what_is_there(path: Path):
    project(EVENTS, open_embedded(path))
    with sqlite3.connect(path, isolation_level=None) as late:
        schema._create(late, path)
    assert picture(open_embedded(path)) == picture(graph_of(EVENTS))


def test_threads_share_a_keeper(path: Path):
    keeper = open_embedded(path)
    batches = [events_of(backtest_record(f"01935c2e-7a10-7c3e-9d1a-5b6f0a4c{number:02x}00")) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda batch: (project(batch, keeper), keeper.list_actions()), batches))
    assert picture(keeper) == picture(graph_of([event for batch in batches for event in batch]))


def test_a_child_of_a_fork_writes_through_a_connection_of_its_own(path: Path):
    keeper = open_embedded(path)
    project(EVENTS[:4], keeper)
    inherited = keeper._connected()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            project(EVENTS[4:], keeper)
            code = int(keeper._connected() is inherited)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert picture(keeper) == picture(graph_of(EVENTS))
    project(events_of(backtest_record("01935c2e-7a10-7c3e-9d1a-5b6f0a4cbb00")), keeper)


def test_a_snapshot_sees_one_state_while_others_write(path: Path):
    keeper, other = open_embedded(path), open_embedded(path)
    project(EVENTS, keeper)
    before = picture(keeper)
    with keeper.snapshot():
        keeper.list_actions()
        project(events_of(backtest_record("01935c2e-7a10-7c3e-9d1a-5b6f0a4cbb00")), other)
        with keeper.snapshot():
            assert picture(keeper) == before
        assert picture(keeper) == before
        with pytest.raises(GraphError, match="inside a snapshot"):
            project(EVENTS, keeper)
    assert len(keeper.list_actions()) == 12


def test_a_graph_that_was_moved_away_is_not_written_behind_its_back(path: Path):
    keeper = open_embedded(path)
    project(EVENTS, keeper)
    aside = path.with_name("aside.db")
    keeper.close()
    keeper = open_embedded(path)
    path.rename(aside)
    project(EVENTS, keeper)
    assert picture(open_embedded(path)) == picture(open_embedded(aside)) == picture(graph_of(EVENTS))


def test_a_writer_that_never_ends_is_an_error_and_no_hanging(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.05)
    keeper = open_embedded(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(GraphError, match="in use"):
        project(EVENTS, keeper)
    assert picture(keeper) == ([], [])
    holder.execute("ROLLBACK")
    project(EVENTS, keeper)
    assert action_of(keeper, RECORD.flow.run_id)


# Lists


def test_lists_are_newest_first_and_cut_at_their_limit(path: Path):
    keeper = graph_of(EVENTS)
    times = [action.created_at for action in keeper.list_actions()]
    assert times == sorted(times, reverse=True)
    assert keeper.list_actions(limit=2) == keeper.list_actions()[:2]
    assert keeper.list_artifacts(artifact_types=["Model", "Metrics"], limit=1)[0].type == "Metrics"
    assert keeper.list_actions(limit=0) == []


def test_conditions_are_taken_as_they_are():
    keeper = graph_of(EVENTS)
    for odd in ("%", "_", "' OR 1=1 --", "\0", "0%"):
        assert keeper.list_actions(run_id=odd) == keeper.list_actions(commit=odd) == keeper.list_actions(flow=odd) == []
        assert keeper.list_artifacts(source_uri=odd) == keeper.list_contexts(name=odd) == []
    assert [action.type for action in keeper.list_actions(commit="9f2c", action_types=["FlowRun"])] == ["FlowRun"]
    assert len(keeper.list_actions(flow="backtest", action_types=["FlowRun"])) == 1
    assert [context.label for context in keeper.list_contexts()] == ["backtest"]


def test_a_search_finds_every_word_in_any_case():
    keeper = graph_of(EVENTS)
    assert [entity.label for entity in keeper.search("BRAVE otter")] == ["brave-otter"]
    assert {entity.type for entity in keeper.search("ridge model")} == {"Model"}
    assert keeper.search("ridge absent") == []
    assert keeper.search("%") == []
    assert len(keeper.search("", limit=3)) == 3


def test_threads_wait_for_a_snapshot_of_the_keeper_they_share(path: Path):
    keeper = open_embedded(path)
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with keeper.snapshot():
            entered.set()
            leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert entered.wait(30)
    writer = threading.Thread(target=project, args=(EVENTS, keeper))
    writer.start()
    leave.set()
    holder.join()
    writer.join()
    assert len(keeper.list_actions()) == 6
