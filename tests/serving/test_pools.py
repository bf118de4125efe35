"""Pools: work beside the event loop, bounded, and each pool by itself."""

import asyncio
import threading

import pytest

from decisioning.errors import NotFound, Unavailable
from features import threads
from features.profile.store import Store
from features.signals.store import StateCopier
from serving import pools
from serving.pools import Pool, Pools


def named() -> str:
    return threading.current_thread().name


@pytest.mark.promise("serving.loop")
def test_each_kind_of_work_has_threads_of_its_own_and_few() -> None:
    async def names(pool: Pool) -> set[str]:
        return set(await asyncio.gather(*(pool.run(named) for _ in range(20))))

    async def all_names() -> list[set[str]]:
        every = Pools(2.0)
        found = [await names(pool) for pool in (every.consents, every.short, every.long, every.erasures, every.health)]
        every.close()
        return found

    by_pool = asyncio.run(all_names())
    assert not set.intersection(*by_pool)
    allowed = ((2, "consents"), (4, "short"), (2, "long"), (2, "erasures"), (1, "health"))
    for names_of, (most, name) in zip(by_pool, allowed, strict=True):
        assert 1 <= len(names_of) <= most
        assert all(one.startswith(f"{name}-") for one in names_of)


def test_work_that_hangs_is_refused_in_time_and_what_waits_behind_it_is_never_begun() -> None:
    hanging, begun = threading.Event(), list[int]()

    async def ask() -> None:
        pool = Pool("hangs", 1, within_s=0.05)
        with pytest.raises(Unavailable, match="not done within"):
            await pool.run(hanging.wait)
        with pytest.raises(Unavailable):
            await pool.run(begun.append, 1)
        hanging.set()
        await Pool("other", 1, within_s=5).run(begun.append, 2)
        assert await pool.run(named) == "hangs-1"
        pool.close()

    asyncio.run(ask())
    assert begun == [2]


def test_what_waits_for_a_pool_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_WAITING", 2)
    pool, hanging = Pool("full", 1, within_s=5), threading.Event()
    began = threading.Event()
    first = pool.submit(lambda: began.set() or hanging.wait())
    began.wait(10)
    others = [pool.submit(named) for _ in range(2)]
    with pytest.raises(Unavailable, match="too many"):
        pool.submit(named)
    hanging.set()
    assert first.result(10)
    assert [other.result(10) for other in others] == ["full-1"] * 2
    pool.close()


def test_errors_come_back_and_coroutines_run_in_the_pools_own_loop() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise NotFound("id", "there is none")

    async def where() -> tuple[str, bool]:
        await asyncio.sleep(0)
        return named(), asyncio.get_running_loop() is outer

    async def ask() -> tuple[str, bool]:
        nonlocal outer
        outer = asyncio.get_running_loop()
        pool = Pool("own", 1, within_s=5)
        with pytest.raises(NotFound):
            await pool.run_async(fails)
        return await pool.run_async(where)

    outer: asyncio.AbstractEventLoop | None = None
    assert asyncio.run(ask()) == ("own-1", False)


def test_copies_of_signals_that_fail_in_an_unexpected_way_keep_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "FIRST_PAUSE_S", 0.0)

    class Failing(Store):
        def __init__(self) -> None:
            self.writes = 0

        def write_signals(self, states: object) -> None:
            self.writes += 1
            if self.writes == 1:
                raise MemoryError

    store = Failing()
    copier, told = StateCopier(store), threading.Semaphore(0)
    for _ in range(2):
        copier.put({"a": (1, b"")}, told.release)
        assert told.acquire(timeout=10)
    copier.close()
    assert store.writes == 2
