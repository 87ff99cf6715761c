from __future__ import annotations

from service.changes import numbers


def test_ids_grow_even_when_the_clock_stands_still_or_goes_back():
    first = numbers.new()
    found = [first, *(numbers.new(now) for now in (0, first, first + 1, 5, first + 10))]
    assert found == sorted(set(found))


def test_ids_are_exact_for_readers_of_doubles_and_sort_as_texts_as_they_do_as_numbers():
    now = numbers.new()
    assert now < 2**53
    assert len(str(now)) == 16
