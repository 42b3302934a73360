"""Discrete events: processes that wait, stations that serve them, and HAProxy's choice among its servers.

A process is a generator. It yields the seconds that it lets pass, or a `Gate` that lets it on.
"""

from __future__ import annotations

import bisect
import heapq
import itertools
import random
from collections.abc import Generator, Iterator, Sequence

#: of a server on HAProxy's ring: 16 (BE_WEIGHT_SCALE) for each unit of its weight, which the role sets to 32
POINTS = 16 * 32


class Gate:
    """Closed until it is released, and open ever after."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: list[Process] = []
        self.released = False

    def release(self) -> None:
        self.released = True
        for process in self._waiting:
            self._clock.after(0.0, process)
        self._waiting.clear()

    def admit(self, process: Process) -> None:
        if self.released:
            self._clock.after(0.0, process)
        else:
            self._waiting.append(process)


Process = Generator[float | Gate, None, None]


class Clock:
    """now: seconds since the beginning."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Process]] = []

    def after(self, seconds: float, process: Process) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, next(self._order), process))

    def start(self, process: Process) -> None:
        self.after(0.0, process)

    def run(self, until: float) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, process = heapq.heappop(self._agenda)
            wanted = next(process, None)
            if isinstance(wanted, Gate):
                wanted.admit(process)
            elif wanted is not None:
                self.after(wanted, process)


class Station:
    """Places that serve one process each: the lowest rank first, among equals first come, first served.

    busy: seconds of service that were given, over all places.
    """

    def __init__(self, clock: Clock, places: int) -> None:
        self._clock = clock
        self._free = places
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, str, Gate]] = []
        self.places = places
        self.busy = 0.0

    @property
    def idle(self) -> bool:
        return self._free == self.places

    def enter(self, rank: int = 0, name: str = "") -> Process:
        if self._free:
            self._free -= 1
            return
        gate = Gate(self._clock)
        heapq.heappush(self._waiting, (rank, next(self._order), name, gate))
        yield gate

    def hasten(self, name: str, rank: int) -> None:
        """Whoever waits by this name has this rank from now on."""
        self._waiting = [(rank if entry[2] == name else entry[0], *entry[1:]) for entry in self._waiting]
        heapq.heapify(self._waiting)

    def leave(self) -> None:
        if self._waiting:
            heapq.heappop(self._waiting)[-1].release()
        else:
            self._free += 1

    def serve(self, seconds: float, rank: int = 0, name: str = "") -> Process:
        yield from self.enter(rank, name)
        self.busy += seconds
        yield seconds
        self.leave()


class Ring:
    """`hash-type consistent`: the server at the nearest point of a ring, then those at the points that follow."""

    def __init__(self, servers: int, chance: random.Random, points: int = POINTS) -> None:
        self._points = sorted((chance.random(), server) for server in range(servers) for _ in range(points))
        self._places = [place for place, _ in self._points]

    def servers(self, place: float) -> Iterator[int]:
        """From a key's place on the ring, 0 to 1, once around."""
        after = bisect.bisect(self._places, place) % len(self._places)
        nearest = after if (self._places[after] - place) % 1 < (place - self._places[after - 1]) % 1 else after - 1
        for number in range(len(self._points)):
            yield self._points[(nearest + number) % len(self._points)][1]

    def choose(self, place: float, in_progress: Sequence[int], factor: int, avoid: int | None = None) -> int:
        """The server of a request.

        in_progress: of each server. factor: `hash-balance-factor`, 0 for no bound. avoid: the one that refused.
        """
        total = sum(in_progress)
        for server in self.servers(place):
            bounded = factor and in_progress[server] >= allowed(factor, total, len(in_progress), server)
            if server != avoid and not bounded:
                return server
        return next(self.servers(place))


def allowed(factor: int, in_progress: int, servers: int, server: int) -> int:
    """Requests that a server may have before it is passed over, as HAProxy computes it for equal weights.

    in_progress: over all servers, without the one that is to be placed. A remainder goes to later servers.
    """
    total = -(-(in_progress + 1) * factor // 100)
    return max(1, (server + 1) * total // servers - server * total // servers)
