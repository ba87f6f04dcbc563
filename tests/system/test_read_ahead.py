import threading
from collections.abc import Iterator

import pytest

from unseen.system.read_ahead import made_ahead, read_ahead


def threads() -> int:
    return sum(thread.name == "unseen-ahead" for thread in threading.enumerate())


@pytest.mark.parametrize("size", [1, 3, 10, 50])
def test_all_items_in_their_order(size: int) -> None:
    assert list(made_ahead(iter(range(10)), size)) == list(range(10))
    assert list(made_ahead(iter(()), size)) == []


def test_an_error_comes_after_what_was_made_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("broken")

    ahead = read_ahead(items(), 1)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(ahead)
    assert not threads()


def test_closed_it_has_ended_its_thread_and_its_items() -> None:
    ended = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            ended.set()

    for ahead in (read_ahead(items(), 2), made_ahead(items(), 2)):
        ended.clear()
        next(ahead)
        assert threads() == 1
        ahead.close()
        assert not threads()
        assert ended.is_set()
