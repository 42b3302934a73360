"""How many hosts and cards, for how many annotators: one fleet in discrete events, from measured times.

    python -m benchmarks.capacity plan      # for 10, 100 and 1000 annotators, and hours for a million images
    python -m benchmarks.capacity check     # the model beside the crowds that were measured
    python -m benchmarks.capacity bound     # what two rules against an overrun backend do to clicks and embeddings

Everybody opens a task, clicks ten times on its image, every three seconds on average, and opens the next one. A click
passes Label Studio, HAProxy and a backend; networks and the browser are left out. Prints markdown tables.
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
from collections import defaultdict, deque
from dataclasses import dataclass, replace

from benchmarks.simulation import Clock, Gate, Process, Ring, Station

#: ranks at a backend's encoder
CLICKED, OPENED = 0, 1
#: clicks in progress at which a backend refuses one more (MAX_QUEUE), and HAProxy's further attempts then
FULL, RETRIES = 32, 3
#: seconds over which HAProxy counts a task's requests, and places on the ring that one has which many click on
WINDOW, SHARES = 10.0, 64
#: that HAProxy adds to a click whose answer is a mask, in seconds
BALANCING = 0.0009


@dataclass(frozen=True)
class Costs:
    """Seconds of one backend, as benchmarks/README.md has them.

    click: for which a warm click keeps the next one waiting. beside: the rest of it, in which the next one is served.
    read, encode: a new image from its address to pixels, and its turn on the encoder.
    slowed: how many times as long a click takes while an image is encoded, where both use the same cores.
    spread: p95 of a time by its median.
    """

    name: str
    click: float
    beside: float
    read: float
    encode: float
    slowed: float
    spread: float


CPU = Costs("2 cores, bfloat16, `tiny`", 0.0116, 0.0033, 0.012, 0.350, 1.48, 1.23)
OLD_CPU = Costs("2 cores, AVX2 only, `tiny`", 0.0276, 0.0078, 0.020, 2.65, 1.48, 1.19)
H200 = Costs("one H200, `tiny`", 1 / 466, 0.00125, 0.0094, 0.0026, 1.0, 1.24)
H200_LARGE = Costs("one H200, `large`", 1 / 466, 0.00145, 0.0074, 0.0087, 1.0, 1.05)


@dataclass(frozen=True)
class Front:
    """Label Studio: processes and threads that answer, cores that they may use, and seconds that one core computes.

    click: for a click, backend left out. What else a page asks for is not reckoned.
    """

    workers: int = 2
    threads: int = 4
    cores: int = 8
    click: float = 0.024


@dataclass(frozen=True)
class Scene:
    """factor: `hash-balance-factor`, 0 for none. shared_from: requests for one task within WINDOW seconds above which
    every backend gets some of them, 0 for never.

    tasks: how many there are for all annotators together; 0, and each has tasks of his own. front: None, and clicks go
    to the balancer at once.
    """

    annotators: int
    backends: int
    costs: Costs
    front: Front | None = Front()
    factor: int = 0
    shared_from: int = 0
    tasks: int = 0
    every: float = 3.0
    clicks: int = 10


@dataclass(frozen=True)
class Seen:
    """taken: seconds of each click, in order of size, after the warm-up. The counts are of the whole time.

    left: clicks that another backend than their task's own answered. decoder, encoder: of the busiest one, 0 to 1.
    """

    taken: list[float]
    asked: int
    refused: int
    left: int
    encodes: int
    decoder: float
    encoder: float
    label_studio: float

    def percentile(self, percent: float) -> float:
        """Milliseconds."""
        return 1000 * self.taken[min(int(len(self.taken) * percent / 100), len(self.taken) - 1)]


class Backend:
    """One decoder, one encoder, and the embeddings that it has made."""

    def __init__(self, clock: Clock, costs: Costs, chance: random.Random) -> None:
        self._clock = clock
        self._costs = costs
        self._chance = chance
        self._ready: set[int] = set()
        self._coming: dict[int, Gate] = {}
        self.decoder = Station(clock, 1)
        self.encoder = Station(clock, 1)
        self.clicks = 0
        self.encodes = 0

    def click(self, image: int) -> Process:
        self.clicks += 1
        yield from self.prepare(image, CLICKED)
        slowed = 1.0 if self.encoder.idle else self._costs.slowed
        yield from self.decoder.serve(slowed * self._drawn(self._costs.click))
        yield self._drawn(self._costs.beside)
        self.clicks -= 1

    def prepare(self, image: int, rank: int) -> Process:
        """Until the image's embedding is there. Whoever comes while it is made waits for the same one."""
        if image in self._ready:
            return
        if image in self._coming:
            self.encoder.hasten(str(image), rank)
            yield self._coming[image]
            return
        made = self._coming[image] = Gate(self._clock)
        yield self._drawn(self._costs.read)
        yield from self.encoder.serve(self._drawn(self._costs.encode), rank, str(image))
        self.encodes += 1
        self._ready.add(image)
        del self._coming[image]
        made.release()

    def _drawn(self, seconds: float) -> float:
        return drawn(seconds, self._costs.spread, self._chance)


class Fleet:
    """Backends behind HAProxy; one backend alone has none before it."""

    def __init__(self, clock: Clock, scene: Scene, chance: random.Random) -> None:
        self._scene = scene
        self._clock = clock
        self._ring = Ring(scene.backends, chance)
        self._in_progress = [0] * scene.backends
        self._chance = chance
        self._lately: dict[int, deque[float]] = defaultdict(deque)
        self.backends = [Backend(clock, scene.costs, chance) for _ in range(scene.backends)]
        self.left = 0
        self.refused = 0

    def click(self, image: int) -> Process:
        home, refusing = self._ring.choose(place_of(image), self._in_progress, 0), None
        place = self._place(image)
        if len(self.backends) > 1:
            yield BALANCING
        for _ in range(1 + RETRIES):
            server = self._ring.choose(place, self._in_progress, self._scene.factor, refusing)
            if self.backends[server].clicks < FULL:
                self.left += server != home
                self._in_progress[server] += 1
                yield from self.backends[server].click(image)
                self._in_progress[server] -= 1
                return
            refusing = server
        self.refused += 1

    def open(self, image: int) -> None:
        """Label Studio asks for predictions; the answer is empty, and the image is prepared behind it."""
        server = self._ring.choose(self._place(image), self._in_progress, self._scene.factor)
        self._clock.start(self.backends[server].prepare(image, OPENED))

    def _place(self, image: int) -> float:
        lately = self._lately[image]
        lately.append(self._clock.now)
        while lately[0] < self._clock.now - WINDOW:
            lately.popleft()
        many = self._scene.shared_from and len(lately) > self._scene.shared_from
        return place_of(image, self._chance.randrange(SHARES) + 1 if many else 0)


class LabelStudio:
    """A thread has a click until the backend has answered; of its workers' Python, only one thread computes in each."""

    def __init__(self, clock: Clock, front: Front, chance: random.Random) -> None:
        self._front = front
        self._chance = chance
        self.threads = Station(clock, front.workers * front.threads)
        self.processors = Station(clock, min(front.workers, front.cores))

    def click(self, behind: Process) -> Process:
        half = drawn(self._front.click, 1.3, self._chance) / 2
        yield from self.threads.enter()
        yield from self.processors.serve(half)
        yield from behind
        yield from self.processors.serve(half)
        self.threads.leave()


def simulate(scene: Scene, seconds: float = 120.0, warm_up: float = 30.0, seed: int = 1) -> Seen:
    """What annotators meet after the warm-up. The same seed gives the same figures."""
    clock, chance = Clock(), random.Random(seed)
    fleet = Fleet(clock, scene, chance)
    studio = LabelStudio(clock, scene.front, chance) if scene.front else None
    images = itertools.count()
    taken: list[tuple[float, float]] = []

    def annotator() -> Process:
        yield chance.uniform(0, scene.every * scene.clicks)
        while True:
            image = chance.randrange(scene.tasks) if scene.tasks else next(images)
            fleet.open(image)
            for _ in range(scene.clicks):
                yield chance.expovariate(1 / scene.every)
                begun = clock.now
                yield from studio.click(fleet.click(image)) if studio else fleet.click(image)
                taken.append((begun, clock.now - begun))

    for _ in range(scene.annotators):
        clock.start(annotator())
    clock.run(warm_up)
    stations = [each.decoder for each in fleet.backends], [each.encoder for each in fleet.backends]
    before = [[station.busy for station in each] for each in stations], studio.processors.busy if studio else 0.0
    clock.run(warm_up + seconds)
    decoder, encoder = (
        max(station.busy - was for station, was in zip(each, once, strict=True)) / seconds
        for each, once in zip(stations, before[0], strict=True)
    )
    return Seen(
        taken=sorted(value for begun, value in taken if begun >= warm_up),
        asked=len(taken),
        refused=fleet.refused,
        left=fleet.left,
        encodes=sum(each.encodes for each in fleet.backends),
        decoder=decoder,
        encoder=encoder,
        label_studio=(studio.processors.busy - before[1]) / seconds / studio.processors.places if studio else 0.0,
    )


def drawn(median: float, spread: float, chance: random.Random) -> float:
    """Log-normal, so that p95 is `spread` medians."""
    return median * math.exp(chance.gauss(0, math.log(spread) / 1.645)) if spread > 1 else median


def place_of(image: int, share: int = 0) -> float:
    """Of a task, or of a share of its requests, on HAProxy's ring."""
    return random.Random(image * (SHARES + 1) + share).random()


#: what suffices: 95 of 100 clicks within these milliseconds, and nothing busier than this
LIMIT_MS, BUSY = 200.0, 0.85
CROWDS = (10, 100, 1000)


def smallest(scene: Scene, name: str) -> tuple[int, Seen]:
    """The fewest backends (`backends`), or processes of Label Studio (`workers`), that suffice.

    Raises:
        ValueError: even four times as many as the work asks for do not.
    """
    least = fewest(scene, name)
    for count in range(least, 4 * least + 1):
        seen = simulate(sized(scene, name, count), seconds=max(60.0, 6000 / scene.annotators))
        busiest = seen.label_studio if name == "workers" else max(seen.decoder, seen.encoder)
        if seen.percentile(95) <= LIMIT_MS and busiest <= BUSY and not seen.refused:
            return count, seen
    raise ValueError(f"p95 is above {LIMIT_MS:g} ms even with {4 * least} {name} for {scene}")


def fewest(scene: Scene, name: str) -> int:
    """With fewer, something is busier than it may be."""
    clicks = scene.annotators / scene.every
    if name == "backends":
        return math.ceil(clicks * max(scene.costs.click, scene.costs.encode / scene.clicks) / BUSY)
    assert scene.front
    return math.ceil(clicks * scene.front.click / BUSY)


def sized(scene: Scene, name: str, count: int) -> Scene:
    """With so many of what is named; Label Studio's processes have a core each."""
    if name == "backends":
        return replace(scene, backends=count)
    assert scene.front
    return replace(scene, front=replace(scene.front, workers=count, cores=count))


def ready(costs: Costs) -> Costs:
    """Where images were prewarmed: read from the disk instead of encoded."""
    return replace(costs, name=f"{costs.name}, prewarmed", read=0.0003, encode=0.0003)


def plan() -> None:
    head = "annotators", "Label Studio's processes", "backends", "p50 ms", "p95 ms", "busy: Label Studio, backend"
    print(f"| {' | '.join(head)} |\n{'|---' * len(head)}|")
    for crowd, costs in itertools.product(CROWDS, (ready(OLD_CPU), CPU, ready(CPU), H200)):
        scene = Scene(crowd, 1, costs, shared_from=50)
        count, _ = smallest(sized(scene, "workers", crowd), "backends")
        workers, seen = smallest(replace(scene, backends=count), "workers")
        print(
            f"| {crowd} | {workers} | {count} x {costs.name} | {seen.percentile(50):.0f} | {seen.percentile(95):.0f} "
            f"| {seen.label_studio:.0%}, {max(seen.decoder, seen.encoder):.0%} |",
            flush=True,
        )
    print("\n| a million images | images a second | hours on 1 | on 4 | on 16 |\n|---|---|---|---|---|")
    for what, rate in RATES:
        hours = (f"{10**6 / rate / count / 3600:.1f}" for count in (1, 4, 16))
        print(f"| {what} | {rate:.3g} | {' | '.join(hours)} |")


#: images a second of one backend, as `benchmarks/gpu/run` and `click.py` found them
RATES = (
    ("embedded and kept on the disk, H200, `tiny`", 112),
    ("embedded and kept on the disk, H200, `large`", 119),
    ("embedded, as fast as they are read, H200, `tiny`", 322),
    ("embedded, 2 cores with bfloat16, `tiny`", 1 / CPU.encode),
    ("embedded, 2 cores with AVX2 only, `tiny`", 1 / OLD_CPU.encode),
)


def check() -> None:
    """The costs come from one annotator and from the turns of eight in a quiet hour: those rows cannot disagree."""
    print("| measured | annotators | every s | p50 ms | predicted | p95 ms | predicted |")
    print("|---|---|---|---|---|---|---|")
    for what, costs, crowd, every, p50, p95 in MEASURED:
        # Without pauses everybody stays on his image.
        clicks, seconds = (10, 120.0) if every else (10**6, 20.0)
        seen = simulate(Scene(crowd, 1, costs, None, every=every or 1e-9, clicks=clicks), seconds)
        print(
            f"| {what} | {crowd} | {every:g} | {p50} | {seen.percentile(50):.1f} | {p95} | {seen.percentile(95):.1f} |"
        )


def slower(costs: Costs, times: float) -> Costs:
    """The same machine in an hour in which it takes so many times as long."""
    parts = {name: times * getattr(costs, name) for name in ("click", "beside", "read", "encode")}
    return replace(costs, **parts)


MEASURED = (
    ("`crowd.py`, quiet hour", CPU, 1, 0.0, 14.9, 21.8),
    ("`crowd.py`, quiet hour", CPU, 8, 0.0, 92.9, 109.1),
    ("`crowd.py`, slow hour", slower(CPU, 28.5 / 14.9), 1, 0.0, 28.5, 49.0),
    ("`crowd.py`, slow hour", slower(CPU, 28.5 / 14.9), 8, 0.0, 209.0, 291.8),
    ("`gpu/run`", H200, 100, 3.0, "-", 10.5),
    ("`gpu/run`", H200, 200, 3.0, "-", 9.0),
)


def bound() -> None:
    print("| annotators | tasks | backends | rule | p50 ms | p95 ms | left | encodes of 100 clicks |")
    print("|---|---|---|---|---|---|---|---|")
    for costs, backends, crowd, tasks in CASES:
        for rule, settings in RULES.items():
            seen = simulate(Scene(crowd, backends, costs, None, tasks=tasks, **settings))
            print(
                f"| {crowd} | {tasks or 'their own'} | {backends} x {costs.name} | {rule} | {seen.percentile(50):.0f} "
                f"| {seen.percentile(95):.0f} | {seen.left / seen.asked:.1%} | {100 * seen.encodes / seen.asked:.1f} |",
                flush=True,
            )


RULES = {"hash alone": {}, "`hash-balance-factor 150`": {"factor": 150}, "as deployed": {"shared_from": 50}}
CASES = ((CPU, 2, 30, 0), (CPU, 4, 60, 0), (H200, 2, 600, 0), (CPU, 2, 300, 1), (CPU, 4, 300, 6), (H200, 4, 2000, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("plan", "check", "bound"))
    {"plan": plan, "check": check, "bound": bound}[parser.parse_args().what]()


if __name__ == "__main__":
    main()
