"""What arrives one by one is worked on in batches: who shares one, who waits, who is refused."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from unseen.web.problems import Problem
from unseen.web.server.core.metrics import Metrics
from unseen.web.server.core.queues.batching import MIN_QUEUED, DynamicBatcher, Failure

LONG = 120.0  # seconds after which something waits for ever: beside other work a turn takes long


class Net:
    """Stands for a network: tenfold of each item; it can be held, and it can fail."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.free = threading.Event()
        self.free.set()
        self.begun = threading.Semaphore(0)

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.begun.release()
        assert self.free.wait(LONG)
        if -1 in items:
            raise ValueError("a net that fails")
        return [10 * item for item in items]


@asynccontextmanager
async def batches_of(
    net: Callable[[list[int]], list[int]],
    *,
    size: int = 4,
    max_delay: float = 0.0,
    threads: int = 1,
) -> AsyncIterator[DynamicBatcher[int, int]]:
    batches = DynamicBatcher(
        "image", net, Metrics(), size=size, max_delay=max_delay, threads=threads
    )
    try:
        yield batches
    finally:
        await batches.close()


async def begun(net: Net) -> None:
    """When the net has a batch in its hands."""
    assert await asyncio.to_thread(net.begun.acquire, timeout=LONG)


def run(work: Callable[[], object]) -> None:
    asyncio.run(asyncio.wait_for(work(), LONG))  # type: ignore[arg-type]


def test_what_arrives_together_shares_a_batch() -> None:
    async def work() -> None:
        net = Net()
        async with batches_of(net) as batches:
            answers = await asyncio.gather(*map(batches.submit, (1, 2, 3)))
        assert answers == [10, 20, 30]
        assert net.batches == [[1, 2, 3]]

    run(work)


def test_what_arrives_while_the_net_works_is_the_next_batch() -> None:
    async def work() -> None:
        net = Net()
        net.free.clear()
        async with batches_of(net) as batches:
            first = asyncio.create_task(batches.submit(1))
            await begun(net)
            rest = [asyncio.create_task(batches.submit(item)) for item in (2, 3)]
            await asyncio.sleep(0)
            net.free.set()
            assert await asyncio.gather(first, *rest) == [10, 20, 30]
        assert net.batches == [[1], [2, 3]]

    run(work)


def test_one_alone_waits_for_nobody() -> None:
    async def work() -> None:
        net = Net()
        async with batches_of(net, max_delay=10 * LONG) as batches:
            assert await batches.submit(1) == 10  # `run` ends it if it waits

    run(work)


def test_what_is_on_its_way_is_waited_for() -> None:
    async def work() -> None:
        net = Net()
        async with batches_of(net, max_delay=10 * LONG) as batches:
            decoded: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            batches.expect(1)
            decoded.add_done_callback(lambda _: batches.expect(-1))

            async def other() -> int:
                return await batches.submit(await decoded)

            both = asyncio.gather(batches.submit(1), other())
            await asyncio.sleep(0.05)
            assert net.batches == []
            decoded.set_result(2)
            assert await both == [10, 20]
        assert net.batches == [[1, 2]]

    run(work)


def test_patience_ends() -> None:
    async def work() -> None:
        net = Net()
        async with batches_of(net, max_delay=0.01) as batches:
            batches.expect(1)  # and it never comes
            assert await batches.submit(1) == 10

    run(work)


def test_a_full_batch_waits_for_no_more() -> None:
    async def work() -> None:
        net = Net()
        async with batches_of(net, size=2, max_delay=10 * LONG) as batches:
            batches.expect(1)
            assert await asyncio.gather(*map(batches.submit, (1, 2))) == [10, 20]

    run(work)


def test_no_batch_is_larger_than_its_size() -> None:
    async def work() -> None:
        net = Net()
        async with batches_of(net, size=4) as batches:
            answers = await asyncio.gather(*map(batches.submit, range(10)))
        assert answers == [10 * item for item in range(10)]
        assert [len(batch) for batch in net.batches] == [4, 4, 2]

    run(work)


def test_what_is_cancelled_before_its_turn_is_never_worked_on() -> None:
    async def work() -> None:
        net = Net()
        net.free.clear()
        async with batches_of(net) as batches:
            first = asyncio.create_task(batches.submit(1))
            await begun(net)
            gone, stays = (asyncio.create_task(batches.submit(item)) for item in (2, 3))
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.wait([gone])
            net.free.set()
            assert await asyncio.gather(first, stays) == [10, 30]
            assert batches.pending == 0
        assert net.batches == [[1], [3]]

    run(work)


def test_what_is_cancelled_in_its_batch_takes_nothing_from_the_others() -> None:
    async def work() -> None:
        net = Net()
        net.free.clear()
        async with batches_of(net) as batches:
            gone, stays = (asyncio.create_task(batches.submit(item)) for item in (1, 2))
            await begun(net)
            gone.cancel()
            net.free.set()
            assert await stays == 20
            assert await batches.submit(3) == 30

    run(work)


def test_an_error_reaches_all_of_its_batch_and_the_next_one_works() -> None:
    async def work() -> None:
        net = Net()
        async with batches_of(net) as batches:
            failed = await asyncio.gather(
                batches.submit(1), batches.submit(-1), return_exceptions=True
            )
            assert [str(error) for error in failed] == ["a net that fails"] * 2
            assert await batches.submit(2) == 20
            assert batches.pending == 0

    run(work)


def test_a_net_that_answers_too_little_is_an_error_and_not_a_wait_for_ever() -> None:
    async def work() -> None:
        async with batches_of(lambda items: items[1:]) as batches:
            for _ in range(2):
                found = await asyncio.gather(
                    batches.submit(1), batches.submit(2), return_exceptions=True
                )
                assert all(isinstance(answer, Exception) for answer in found)

    run(work)


def test_too_long_a_wait_is_refused_at_once_with_when_to_come_again() -> None:
    async def work() -> None:
        net = Net()
        net.free.clear()
        async with batches_of(net) as batches:
            batches.assume(2.0)
            batches.check(1.5)  # nobody waits
            tasks = [asyncio.create_task(batches.submit(item)) for item in range(4 + MIN_QUEUED)]
            await begun(net)
            with pytest.raises(Problem) as refused:
                batches.check(1.5)
            assert refused.value.status == 503
            assert refused.value.headers["Retry-After"] == str(2 * (4 + MIN_QUEUED))
            batches.check(100.0)
            net.free.set()
            await asyncio.gather(*tasks)
            batches.check(1.5)

    run(work)


def test_what_is_on_its_way_counts_as_waiting() -> None:
    async def work() -> None:
        async with batches_of(Net()) as batches:
            batches.assume(2.0)
            batches.expect(MIN_QUEUED)
            with pytest.raises(Problem):
                batches.check(1.5)
            batches.expect(-MIN_QUEUED)
            batches.check(1.5)

    run(work)


def test_a_slow_net_is_never_without_work() -> None:
    async def work() -> None:
        net = Net()
        net.free.clear()
        async with batches_of(net, size=1) as batches:
            batches.assume(1000.0)
            working = asyncio.create_task(batches.submit(1))
            await begun(net)
            batches.check(1.5)
            waiting = [asyncio.create_task(batches.submit(item)) for item in range(MIN_QUEUED)]
            await asyncio.sleep(0)
            with pytest.raises(Problem):
                batches.check(1.5)
            net.free.set()
            await asyncio.gather(working, *waiting)

    run(work)


def test_idle_time_is_not_taken_for_work() -> None:
    async def work() -> None:
        async with batches_of(Net()) as batches:
            taken = []
            for item in range(4):
                start = time.perf_counter()
                await batches.submit(item)
                taken.append(time.perf_counter() - start)
                await asyncio.sleep(0.3)
            assert 0 < batches.seconds <= max(taken)  # it is a mean of parts of these

    run(work)


def test_room_that_is_kept_counts_for_who_comes_and_is_waited_for_by_nobody() -> None:
    async def work() -> None:
        async with batches_of(Net(), max_delay=10 * LONG) as batches:
            batches.assume(2.0)
            rooms = [batches.keep_room() for _ in range(MIN_QUEUED)]
            with pytest.raises(Problem):
                batches.check(1.5)
            assert await batches.submit(1) == 10  # `run` ends it if it waits
            for room in rooms:
                room.leave()
                room.leave()
            batches.assume(2.0)
            batches.check(1.5)

    run(work)


def test_an_item_that_a_thread_makes_goes_from_there_to_the_net() -> None:
    async def work() -> None:
        net = Net()
        async with batches_of(net, max_delay=10 * LONG) as batches:
            first, second, broken, failed, gone = (batches.reserve() for _ in range(5))
            assert batches.pending == 5
            gone.result.cancel()
            await asyncio.sleep(0)
            assert batches.pending == 4
            error = ValueError("a result")
            await asyncio.to_thread(batches.hand_in, first, 1)
            await asyncio.to_thread(batches.hand_in, gone, 9)
            await asyncio.to_thread(batches.answer, broken, error)
            assert await broken.result is error  # type: ignore[comparison-overlap]
            await asyncio.to_thread(batches.answer, failed, Failure(error))
            with pytest.raises(ValueError, match="a result"):
                await failed.result
            assert net.batches == [], "the second is waited for"
            await asyncio.to_thread(batches.hand_in, second, 2)
            assert await asyncio.gather(first.result, second.result) == [10, 20]
            assert batches.pending == 0
        assert net.batches == [[1, 2]]

    run(work)


def test_when_it_closes_what_waits_is_cancelled() -> None:
    async def work() -> None:
        net = Net()
        net.free.clear()
        async with batches_of(net) as batches:
            first = asyncio.create_task(batches.submit(1))
            await begun(net)
            second = asyncio.create_task(batches.submit(2))
            await asyncio.sleep(0)
            net.free.set()
        for task in (first, second):
            with pytest.raises(asyncio.CancelledError):
                await task
        assert net.batches == [[1]]

    run(work)


def test_two_threads_run_two_batches_and_what_comes_then_waits() -> None:
    async def work() -> None:
        net = Net()
        net.free.clear()
        async with batches_of(net, threads=2) as batches:
            tasks = []
            for item in (1, 2):
                tasks.append(asyncio.create_task(batches.submit(item)))
                await begun(net)
            tasks += [asyncio.create_task(batches.submit(item)) for item in (3, 4)]
            await asyncio.sleep(0.05)
            assert net.batches == [[1], [2]]
            assert batches.pending == 4
            net.free.set()
            assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
            assert batches.pending == 0
        assert net.batches == [[1], [2], [3, 4]]

    run(work)


def test_a_second_thread_takes_what_the_first_leaves() -> None:
    async def work() -> None:
        net = Net()
        net.free.clear()
        async with batches_of(net, threads=2) as batches:
            tasks = [asyncio.create_task(batches.submit(item)) for item in range(10)]
            await begun(net)
            await begun(net)
            assert sorted(net.batches) == [[0, 1, 2, 3], [4, 5, 6, 7]]
            net.free.set()
            assert await asyncio.gather(*tasks) == [10 * item for item in range(10)]
        assert net.batches[2] == [8, 9]

    run(work)


def test_while_one_thread_waits_for_more_the_other_takes_nothing_away_from_it() -> None:
    async def work() -> None:
        net = Net()
        net.free.clear()
        async with batches_of(net, max_delay=10 * LONG, threads=2) as batches:
            first = asyncio.create_task(batches.submit(1))
            await begun(net)
            batches.expect(1)
            second = asyncio.create_task(batches.submit(2))
            await asyncio.sleep(0.05)
            net.free.set()  # the first thread looks at the queue, too
            assert await first == 10
            third = asyncio.create_task(batches.submit(3))
            batches.expect(-1)
            assert await asyncio.gather(second, third) == [20, 30]
        assert net.batches == [[1], [2, 3]]

    run(work)


def test_with_two_threads_what_runs_and_waits_is_cancelled_when_it_closes() -> None:
    async def work() -> None:
        net = Net()
        net.free.clear()
        async with batches_of(net, size=1, threads=2) as batches:
            tasks = [asyncio.create_task(batches.submit(item)) for item in (1, 2, 3)]
            await begun(net)
            await begun(net)
        net.free.set()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in ended)
        assert sorted(net.batches) == [[1], [2]]

    run(work)
