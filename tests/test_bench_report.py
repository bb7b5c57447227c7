"""How the benchmark judges its numbers, and how it shows them."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.comparison import SEQUENCE, VERIFY, Comparison, Turn
from benchmarks.growth import Crowd, Crowds, Growth, Size
from benchmarks.measured import ALONE, INSTALL, SCRIPTS, Help, Installs, Round
from benchmarks.report import BEGIN, END, crowds, distant, growth, helps, installs, queries, rewritten, table
from benchmarks.timing import Step


def taken(side: str, seconds: float, *faults: str) -> Round:
    return Round(side, seconds, (Step("kt", "istio", 0.5, seconds),), 0.1, faults)


def turns(
    scripts: tuple[float, ...] = (60.0, 64.0, 62.0), install: tuple[float, ...] = (24.0, 25.0, 30.0)
) -> Installs:
    pairs = zip(scripts, install, strict=True)
    return Installs(tuple(one for a, b in pairs for one in (taken(SCRIPTS, a), taken(INSTALL, b))))


def test_the_ratio_is_that_of_the_medians() -> None:
    assert turns().ratio == pytest.approx(25.0 / 62.0)


def test_up_to_half_the_scripts_time_is_good() -> None:
    assert turns(install=(31.0, 31.0, 31.0)).verdict() == []


def test_more_than_half_the_scripts_time_is_reported() -> None:
    assert turns(install=(33.0, 33.0, 33.0)).verdict() == [
        "install took 0.53 of the scripts' time: expected at most 0.5"
    ]


def test_a_round_without_a_complete_matrix_fails_the_bench() -> None:
    rounds = (*turns().rounds, taken(INSTALL, 5.0, "v2 never answered kt"))
    assert Installs(rounds).verdict() == ["istio-mc install: v2 never answered kt"]


def test_a_round_that_does_not_count_is_left_out_of_the_median() -> None:
    rounds = (*turns().rounds, taken(INSTALL, 5.0, "v2 never answered kt"))
    assert Installs(rounds).median(INSTALL) == 25.0


def test_help_may_take_one_and_a_half_times_as_long() -> None:
    assert Help((0.15, 0.15), (0.1, 0.1)).verdict() == []


def test_a_slower_help_is_reported() -> None:
    assert Help((0.2,), (0.1,)).verdict() == ["--help took 2.00 of istioctl's time: expected at most 1.5"]


def test_the_help_s_medians_and_ratio_are_shown() -> None:
    shown = helps(Help((0.2, 0.3, 0.4), (0.1, 0.2, 0.3)))
    assert "Ratio 1.50, of 3 runs each: the limit is 1.5." in shown


def test_every_round_is_shown() -> None:
    shown = installs(turns())
    assert all(f"{seconds:.1f} s" in shown for seconds in (60.0, 64.0, 62.0, 24.0, 25.0, 30.0))


def test_the_ratio_stands_beside_its_aim_and_its_limit() -> None:
    assert "Ratio 0.40: the aim is 0.4, the limit 0.5." in installs(turns())


def test_the_floor_is_shown_beside_both_sides() -> None:
    found = Installs((*turns().rounds, taken(ALONE, 18.6)))
    assert "| istio-mc install, one cluster | 18.6 s |            0.30 |" in installs(found)


def test_the_steps_shown_are_those_of_the_round_nearest_the_median() -> None:
    assert "Steps of published scripts in its median round (62.0 s):" in installs(turns())


def test_rounds_that_others_disturbed_are_reported() -> None:
    rounds = (Round(SCRIPTS, 60.0, (), 0.9), Round(INSTALL, 25.0, (), 0.1))
    assert "before 1 of 2 rounds" in installs(Installs(rounds))


def test_each_round_trip_time_has_its_medians_and_ratio() -> None:
    both = {5: turns(), 50: turns(install=(31.0, 31.0, 31.0))}
    found = {one: Installs((*made.rounds, taken(ALONE, 9.0))) for one, made in both.items()}
    lines = distant(found).splitlines()
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if " ms " in line] == [
        ["5 ms", "62.0 s", "25.0 s", "0.40", "9.0 s"],
        ["50 ms", "62.0 s", "31.0 s", "0.50", "9.0 s"],
    ]


def test_where_no_round_counts_there_is_no_ratio() -> None:
    found = Installs((taken(SCRIPTS, 60.0), taken(INSTALL, 5.0, "exit code 1")))
    assert "Ratio" not in installs(found)


def test_numbers_of_a_table_stand_to_the_right() -> None:
    assert table(("side", "time"), [("a", "1.0 s"), ("longer", "10.0 s")]).splitlines() == [
        "| side   |   time |",
        "| ------ | -----: |",
        "| a      |  1.0 s |",
        "| longer | 10.0 s |",
    ]


def test_new_results_take_the_old_ones_place_and_leave_the_rest() -> None:
    page = f"# Words\n\n{BEGIN}\n\n### Help\n\nolder\n\n{END}\n\nMore words.\n"
    found = rewritten(page, {"memory": "1 GiB"}, {"Help": "new"}, ["Help"])
    assert found.startswith(f"# Words\n\n{BEGIN}\n\n| machine |")
    assert found.endswith(f"### Help\n\nnew\n\n{END}\n\nMore words.\n")
    assert "old" not in found


def test_what_was_not_measured_stays_in_its_place() -> None:
    about = table(("machine", ""), [("step", "1"), ("memory", "2")])
    old = f"{about}\n\n### Install\n\nMeasured then.\n\n### Help\n\nas well"
    page = f"{BEGIN}\n\n{old}\n\n{END}\n"
    found = rewritten(page, {"memory": "1 GiB"}, {"Verify": "new"}, ["Install", "Verify", "Help"])
    assert "| step    | 1     |\n| memory  | 1 GiB |" in found
    assert "### Install\n\nMeasured then.\n\n### Verify\n\nnew\n\n### Help\n\nas well\n" in found


def test_a_page_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the marks"):
        rewritten("# Words\n", {}, {}, [])


def comparison(sequence: float, verify: float) -> Comparison:
    return Comparison((Turn(SEQUENCE, sequence, 9, 0.1), Turn(VERIFY, verify, 50, 0.1)))


def test_verify_stands_beside_the_sequence() -> None:
    shown = queries(comparison(8.0, 2.0))
    assert "Ratio 0.25, of 1 turns each: the aim is 0.45, the limit 1." in shown


def test_a_verify_that_takes_longer_than_the_sequence_is_reported() -> None:
    assert comparison(4.0, 5.0).verdict() == ["verify took 1.25 of the sequence's time: expected at most 1.0"]


def test_a_verify_that_is_no_slower_than_the_sequence_is_good() -> None:
    assert comparison(4.0, 4.0).verdict() == []


def size(clusters: int, more: dict[str, int] | None = None, *, first: bool = False) -> Size:
    requests_each = Counter({"GET /version": 1, **(more or {})})
    of_each = {f"c{i}": requests_each for i in range(clusters)}
    return Size(clusters, 9.0 if first else 1.0, 4.0 if first else 0.5, 80.0 + clusters, of_each, first)


GROWN = (size(5, first=True), size(50, first=True), size(5), size(50))


def test_a_constant_number_of_requests_for_each_cluster_is_accepted() -> None:
    assert Growth((size(5), size(50))).verdict() == []


def test_requests_that_grow_with_the_clusters_are_named() -> None:
    found = Growth((size(5, {"GET /secret": 4}), size(50, {"GET /secret": 49}))).verdict()
    assert found == [
        "requests to a cluster depend on how many clusters there are",
        "GET /secret: 4 of 5 clusters, 49 of 50",
    ]


def test_what_a_cluster_more_costs_is_shown() -> None:
    assert "Each cluster more costs 0 ms of CPU and 1.0 MiB." in growth(Growth(GROWN))


def test_the_first_time_is_shown_by_itself() -> None:
    assert "| 50 clusters |      9.0 s |     4.0 s | 1.0 s |" in growth(Growth(GROWN))


def crowd(
    *cpu: float, requests: tuple[int, ...] = (9, 9, 9), peaks: tuple[int, ...] = (80, 160, 240)
) -> Crowds:
    counts = (20, 1000, 2000)
    return Crowds(
        tuple(
            Crowd("verify", count, 2 * seconds, seconds, peak, number)
            for count, seconds, peak, number in zip(counts, cpu, peaks, requests, strict=True)
        )
    )


def test_cpu_in_proportion_to_the_services_is_accepted() -> None:
    assert crowd(1.0, 2.0, 3.0).verdict() == []


def test_cpu_that_grows_faster_than_the_services_is_reported() -> None:
    assert crowd(1.0, 2.0, 4.0).verdict() == [
        (
            "verify: 2.0 ms of CPU for each Service over 1,000, 1.0 ms for each below: "
            "expected at most 1.5 times as much"
        )
    ]


def test_requests_that_grow_with_the_services_are_reported() -> None:
    assert crowd(1.0, 2.0, 3.0, requests=(9, 1009, 2009)).verdict() == [
        "verify: 9 requests with 20 Services, 2009 with 2000"
    ]


def test_many_services_stand_beside_few() -> None:
    shown = crowds(crowd(1.0, 2.0, 3.0))
    assert "| verify, 2,000 Services | 6.0 s | 3.0 s |   3.0 |     240 MiB |   3.0 |        9 |" in shown
    assert "verify: each Service more in all clusters costs 1.0 ms of CPU and 83 KiB." in shown
