"""What was in flight at kills is counted once, and what came again is laid at the kill that had it in flight."""

from benchmarks.ratios.duplicates import Arrivals, Claim, Kills


def arrivals(*arrived: tuple[str, str]) -> Arrivals:
    return Arrivals([{"sha256": body, "message_id": key} for body, key in arrived])


def test_a_claim_that_outlives_its_sender_is_in_flight_at_one_kill_and_one_made_anew_at_the_next_as_well() -> None:
    kills = Kills()

    kills.note([Claim("a", 1), Claim("b", 1)])
    kills.note([Claim("a", 1), Claim("b", 2), Claim("c", 3)])
    kills.note([Claim("a", 1), Claim("c", 3)])

    assert [len(one) for one in kills.found] == [2, 2, 0]
    assert kills.seen_before == [0, 1, 2]
    assert kills.in_flight == 4


def test_what_came_again_is_told_by_the_kill_at_which_it_was_claimed() -> None:
    kills = Kills()
    kills.note([Claim("a", 1), Claim("b", 1)])
    kills.note([Claim("c", 2)])

    seen = arrivals(("A", "a"), ("A", "a"), ("B", "b"), ("C", "c"), ("C", "c"), ("C", "c"), ("D", "d"), ("D", "d"))

    assert (seen.repeats, seen.different, seen.renamed) == (4, 4, 0)
    assert kills.came_again(seen) == [1, 1]
    assert kills.unclaimed(seen) == 1


def test_a_message_under_two_keys_is_no_repeat() -> None:
    seen = arrivals(("A", "a"), ("A", "b"), ("B", "c"))

    assert (seen.repeats, seen.different, seen.renamed) == (0, 2, 1)
