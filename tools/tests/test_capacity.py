"""The model of a fleet, where a formula or a count says what must come out."""

from __future__ import annotations

import random

import pytest

from benchmarks.capacity import CLICKED, OPENED, Backend, Costs, Front, Scene, simulate, smallest
from benchmarks.simulation import Clock, Process, Ring, Station, allowed

EXACT = Costs("exact", click=0.01, beside=0.0, read=0.0, encode=0.1, slowed=1.0, spread=1.0)


@pytest.mark.parametrize("load", [0.3, 0.8])
def test_a_station_with_random_arrivals_makes_wait_as_the_formula_says(load: float) -> None:
    """Pollaczek and Khinchine, for service that always takes S (M/D/1): load * S / 2 (1 - load)."""
    clock, chance, waited = Clock(), random.Random(4), []
    station = Station(clock, 1)

    def customer() -> Process:
        come = clock.now
        yield from station.serve(1.0)
        waited.append(clock.now - come - 1.0)

    def arrivals() -> Process:
        while True:
            yield chance.expovariate(load)
            clock.start(customer())

    clock.start(arrivals())
    clock.run(60_000)
    assert sum(waited) / len(waited) == pytest.approx(load / 2 / (1 - load), rel=0.05)
    assert station.busy / clock.now == pytest.approx(load, rel=0.02)


def test_people_who_never_pause_wait_for_each_other() -> None:
    seen = simulate(Scene(8, 1, EXACT, None, every=1e-9, clicks=10**6), seconds=5)
    assert seen.percentile(50) == pytest.approx(80)
    assert seen.percentile(95) == pytest.approx(80)


def test_two_backends_have_half_the_load_each() -> None:
    one, two = (simulate(Scene(200, backends, EXACT, None), seconds=60) for backends in (1, 2))
    assert one.decoder == pytest.approx(200 / 3 * 0.01, rel=0.05)
    # The busiest one has more than half of HAProxy's ring, up to 60 of 100.
    assert 0.5 <= two.decoder / one.decoder < 0.65
    assert (one.left, two.left) == (0, 0)


def test_label_studio_holds_a_click_where_its_processes_are_too_few() -> None:
    one = Front(workers=1, threads=4, cores=4, click=0.024)
    few, many = (Scene(annotators, 1, EXACT, one) for annotators in (60, 120))
    assert simulate(few, seconds=60).label_studio == pytest.approx(60 / 3 * 0.024, rel=0.1)
    workers, seen = smallest(many, "workers")
    assert workers == 2
    assert seen.percentile(95) <= 200 < simulate(many, seconds=60).percentile(95)


def test_a_click_goes_before_opened_images_and_waits_for_the_encode_that_is_on_its_way() -> None:
    clock = Clock()
    backend = Backend(clock, EXACT, random.Random(1))
    done: list[tuple[str, float]] = []

    def opening(image: int) -> Process:
        yield from backend.prepare(image, OPENED)
        done.append((f"opened {image}", clock.now))

    def click(image: int) -> Process:
        yield 0.05
        yield from backend.prepare(image, CLICKED)
        done.append((f"click {image}", clock.now))

    for image in (1, 2, 3):
        clock.start(opening(image))
    clock.start(click(3))
    clock.run(10)
    assert [(what, round(at, 6)) for what, at in done] == [
        ("opened 1", 0.1),
        ("opened 3", 0.2),
        ("click 3", 0.2),
        ("opened 2", 0.3),
    ]
    assert backend.encodes == 3


def test_the_bound_is_haproxys() -> None:
    """Of version 2.6, for one request more than there are: so many may the first and the second of two servers have."""
    found = {total: [allowed(150, total, 2, server) for server in (0, 1)] for total in (0, 1, 2, 3, 9)}
    assert found == {0: [1, 1], 1: [1, 2], 2: [2, 3], 3: [3, 3], 9: [7, 8]}
    ring, at = Ring(2, random.Random(1)), 0.3
    home = ring.choose(at, [0, 0], 0)
    busy = [9 if server == home else 0 for server in (0, 1)]
    assert ring.choose(at, busy, 0) == home
    assert ring.choose(at, busy, 150) == 1 - home
    assert ring.choose(at, busy, 0, avoid=home) == 1 - home


def test_a_task_that_many_click_on_is_shared_and_no_other() -> None:
    hot = [simulate(Scene(60, 2, EXACT, None, tasks=1, shared_from=above), seconds=60) for above in (0, 50)]
    assert (hot[0].left, hot[0].encodes, hot[1].encodes) == (0, 1, 2)
    assert hot[1].decoder < 0.7 * hot[0].decoder
    assert simulate(Scene(60, 2, EXACT, None, shared_from=50), seconds=60).left == 0
