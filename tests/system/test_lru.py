"""A cache of bounded size, against a list that does the same slowly, and under threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from unseen.system.lru import ByteLRU

KEYS = st.integers(0, 5)
STEPS = st.lists(st.tuples(st.sampled_from(["put", "get", "discard"]), KEYS, st.integers(0, 12)))


@given(STEPS, st.integers(0, 20), st.booleans())
def test_it_does_what_a_list_does(
    steps: list[tuple[str, int, int]], max_bytes: int, keep_last: bool
) -> None:
    cache: ByteLRU[int, bytes] = ByteLRU(max_bytes, len, keep_last=keep_last)
    model: list[tuple[int, bytes]] = []  # the entry used last is the last one
    for action, key, size in steps:
        value = dict(model).get(key)
        if action == "put":
            value = bytes(size)
            cache.put(key, value)
        elif action == "get":
            assert cache.get(key) == value
        else:
            cache.discard_if(lambda other, key=key: other == key)  # type: ignore[misc]
        if action == "discard" or value is not None:
            model = [entry for entry in model if entry[0] != key]
        if action != "discard" and value is not None:
            model.append((key, value))
        while sum(len(v) for _, v in model) > max_bytes and len(model) > keep_last:
            model.pop(0)
        assert len(cache) == len(model)
    assert {key: cache.get(key) for key in range(6)} == {k: dict(model).get(k) for k in range(6)}


def test_threads_lose_no_byte_of_the_count() -> None:
    cache: ByteLRU[int, bytes] = ByteLRU(1000, len)

    def work(seed: int) -> None:
        for i in range(3000):
            key = (seed * 7 + i) % 23
            if cache.get(key) is None or i % 3 == 0:
                cache.put(key, bytes(key + 50))
            if i % 17 == 0:
                cache.discard_if(lambda other: other % 5 == 0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    # A count that had drifted would let in too much, or evict what fits.
    cache.discard_if(lambda key: True)
    for key in range(10):
        cache.put(key, bytes(100))
    assert len(cache) == 10
    cache.put(10, b"1")
    assert len(cache) == 10 and cache.get(0) is None
