import os
import select
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing import get_context

import pytest

from landcover.errors import InputError, Stopped
from landcover.executors.parts import (
    PartFailed,
    Parts,
    Share,
    ShareSealed,
    carried_by,
    computed_parts,
    is_begun,
)
from landcover.executors.workers import ForkedWorkers, WorkerLost
from landcover.progress import collecting_notes, progress_to, remark


def square(work, number, file):
    """Write the square of a number; note in a file beside that it was computed."""
    with (work / "computed").open("a") as noted:
        noted.write(f"{number}\n")
    remark(f"part {number} is odd") if number % 2 else None
    file.write(str(number * number).encode())


def dies_at_first(work, number, file):
    """Kill the process that computes part 1, until it was tried twice before."""
    tries = work / f"tries-{number}"
    before = tries.stat().st_size if tries.exists() else 0
    with tries.open("a") as noted:
        noted.write("x")
    if number == 1 and before < 2:
        os.kill(os.getpid(), signal.SIGKILL)
    square(work, number, file)


def always_dies(work, number, file):
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    square(work, number, file)


def refuses(work, number, file):
    (work / f"asked-{number}").touch(exist_ok=False)
    raise InputError("the scene has no band B04")


def breaks(work, number, file):
    file.write(b"half of it")
    raise ValueError("out of luck")


def parts_of(folder, compute=square, count=5, seal="a"):
    return Parts(compute, folder, count, folder, "squaring", {"seal": seal})


def joined(parts):
    with computed_parts(parts) as files:
        return [int(file.read(len(str(n * n)))) for n, file in enumerate(files)]


def times_computed(folder):
    return sorted(map(int, (folder / "computed").read_text().split()))


SQUARES = [0, 1, 4, 9, 16]


@pytest.fixture
def workers():
    with ForkedWorkers(2) as forked:
        yield forked


def test_this_process_computes_where_nobody_else_is_named(tmp_path):
    with collecting_notes(lambda sentence: None) as notes:
        assert joined(parts_of(tmp_path)) == SQUARES
    assert notes.remarks == ["part 1 is odd", "part 3 is odd"]
    assert not is_begun(tmp_path, "squaring")


def test_threads_and_processes_give_the_same(tmp_path, workers):
    for carrier in (ThreadPoolExecutor(2), workers):
        with carrier, carried_by(carrier), collecting_notes(lambda sentence: None) as notes:
            assert joined(parts_of(tmp_path)) == SQUARES
        assert notes.remarks == ["part 1 is odd", "part 3 is odd"]
    assert times_computed(tmp_path) == sorted([*range(5), *range(5)])


def test_a_killed_worker_changes_nothing(tmp_path, workers):
    with carried_by(workers):
        assert joined(parts_of(tmp_path, dies_at_first)) == SQUARES
    assert times_computed(tmp_path) == [*range(5)]
    assert (tmp_path / "tries-1").stat().st_size == 3


def test_a_part_that_always_kills_its_worker_is_named(tmp_path, workers):
    told = r"squaring, part 3 of 5 failed, tried three times: WorkerLost"
    with carried_by(workers), pytest.raises(PartFailed, match=told):
        joined(parts_of(tmp_path, always_dies))


def test_a_part_that_breaks_is_named_with_the_reason(tmp_path):
    told = "part 1 of 1 failed, tried three times: ValueError out of luck"
    threads = ThreadPoolExecutor(1)
    with threads, carried_by(threads), pytest.raises(PartFailed, match=told):
        joined(parts_of(tmp_path, breaks, count=1))
    assert not is_begun(tmp_path, "squaring")


def test_a_pool_that_breaks_as_a_whole_says_so(tmp_path):
    told = r"part [1-3] of 3 failed, tried .*BrokenProcessPool"
    pool = ProcessPoolExecutor(1, mp_context=get_context("fork"))
    with pool, carried_by(pool), pytest.raises(PartFailed, match=told):
        joined(parts_of(tmp_path, always_dies, count=3))


def test_bad_input_is_not_tried_again(tmp_path, workers):
    with carried_by(workers), pytest.raises(InputError, match="no band B04"):
        joined(parts_of(tmp_path, refuses, count=1))


def test_what_is_sealed_is_not_computed_again(tmp_path):
    parts = parts_of(tmp_path)
    with pytest.raises(KeyboardInterrupt), computed_parts(parts):
        raise KeyboardInterrupt
    parts.file(3).unlink()
    assert joined(parts) == SQUARES
    assert times_computed(tmp_path) == [0, 1, 2, 3, 3, 4]


@pytest.mark.parametrize("seal", ["a", "b"])
def test_a_file_that_is_not_whole_or_of_other_work_is_computed_again(tmp_path, seal):
    parts = parts_of(tmp_path)
    with pytest.raises(KeyboardInterrupt), computed_parts(parts):
        raise KeyboardInterrupt
    if seal == "a":  # one byte of the second one is another
        parts.file(1).write_bytes(parts.file(1).read_bytes().replace(b"1", b"7", 1))
    assert joined(parts_of(tmp_path, seal=seal)) == SQUARES
    assert times_computed(tmp_path).count(1) == 2
    assert times_computed(tmp_path).count(0) == (1 if seal == "a" else 2)


def test_a_part_is_not_another_one(tmp_path):
    parts = parts_of(tmp_path)
    with pytest.raises(KeyboardInterrupt), computed_parts(parts):
        raise KeyboardInterrupt
    parts.file(2).write_bytes(parts.file(3).read_bytes())
    assert joined(parts) == SQUARES


def test_a_link_in_the_place_of_a_part_is_not_followed(tmp_path):
    parts = parts_of(tmp_path / "folder")
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").write_text("another's")
    parts.file(0).symlink_to(tmp_path / "other")
    assert joined(parts) == SQUARES
    assert (tmp_path / "other").read_text() == "another's"


def test_a_folder_in_the_place_of_a_part_is_kept(tmp_path):
    folder = parts_of(tmp_path).file(1)
    (folder / "of somebody").mkdir(parents=True)
    with pytest.raises(InputError, match=r"squaring-1[.]part is in the way"):
        joined(parts_of(tmp_path))
    assert (folder / "of somebody").is_dir()


def test_shares_together_are_the_whole(tmp_path):
    for index in range(2):
        with carried_by(Share(index, 2)), pytest.raises(ShareSealed):
            joined(parts_of(tmp_path))
    assert times_computed(tmp_path) == [*range(5)]
    assert joined(parts_of(tmp_path)) == SQUARES
    assert times_computed(tmp_path) == [*range(5)]


def test_whoever_listens_can_stop_it(tmp_path, workers):
    def stop(fraction, sentence):
        raise Stopped("enough")

    with carried_by(workers), progress_to(stop), pytest.raises(Stopped):
        joined(parts_of(tmp_path))


def test_a_lost_worker_is_replaced(workers):
    with pytest.raises(WorkerLost):
        workers.submit(os.kill, workers.submit(os.getpid).result(), signal.SIGKILL).result()
    assert workers.submit(int, "7").result() == 7


def test_workers_lead_sessions_of_their_own(workers):
    pid = workers.submit(os.getpid).result()
    assert os.getsid(pid) == pid


def test_workers_stay_in_the_session_of_a_job():
    with ForkedWorkers(1, own_sessions=False) as workers:
        assert workers.submit(os.getsid, 0).result() == os.getsid(0)


def test_workers_end_with_what_they_work_on():
    workers = ForkedWorkers(1)
    pid = workers.submit(os.getpid).result()
    waiting = workers.submit(signal.pause)
    workers.shutdown(cancel_futures=True)
    assert isinstance(waiting.exception(), WorkerLost)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_workers_end_with_whoever_made_them():
    reader, writer = os.pipe()
    maker = os.fork()
    if not maker:
        os.write(writer, b"%d" % ForkedWorkers(1).submit(os.getpid).result())
        os._exit(0)
    os.close(writer)
    os.waitpid(maker, 0)
    with suppress(ProcessLookupError):  # it has ended already
        worker = os.pidfd_open(int(os.read(reader, 16)))
        assert select.select([worker], [], [], 30)[0]
        os.close(worker)
    os.close(reader)


def test_a_result_that_cannot_be_pickled_is_an_error(workers):
    with pytest.raises(TypeError, match="cannot pickle"):
        workers.submit(memoryview, b"x").result()


def test_something_else_than_an_executor_is_refused():
    with pytest.raises(TypeError, match="executor is a int"), carried_by(4):
        pass
