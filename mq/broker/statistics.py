"""How busy the broker is: counters that cost nothing to keep, and rates made of samples taken every ten seconds.

RocketMQ samples every second and reports averages over the last 10, 60 and 600 seconds; ten seconds between samples
give the same three numbers. Of single topics and groups, samples are kept for a minute, an hour and a day, as its tools
show them (`stats_data.py`). Per message there is one addition, the bytes of its queue: numbers of messages are
read off the ends of queues. Source: RocketMQ StoreStatsService, BrokerStats, StatsItem.
"""

from __future__ import annotations

import asyncio
import datetime
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from mq.broker.background import Background

if TYPE_CHECKING:
    from mq.broker.app import Broker

SAMPLE_INTERVAL_S: Final = 10.0
WINDOWS_S: Final = (10, 60, 600)
#: Window and distance of the samples kept of single topics and groups: RocketMQ's statsMinute, statsHour, statsDay.
DETAIL_WINDOWS_S: Final = ((60, SAMPLE_INTERVAL_S), (3600, 600.0), (86_400, 3600.0))
#: A view of all topics and groups takes some ms for thousands of queues, so it is good for this long.
_CURRENT_S: Final = 0.5
#: Turns of the loop whose sends are remembered by how long they took.
_SEND_TIMES: Final = 10_000


class Counters(NamedTuple):
    """Since the start: messages stored, pulls that found something or nothing, messages handed to consumers."""

    stored: int
    pulls_found: int
    pulls_missed: int
    given: int


class Sample(NamedTuple):
    taken_s: float
    counters: Counters


#: Statistics by key: of a topic its name, of a group `topic@group`.
Table = Mapping[str, int]


class Details(NamedTuple):
    """What single topics and groups came to, by RocketMQ's name of the statistic."""

    taken_s: float
    tables: Mapping[str, Table]

    def value(self, name: str, key: str) -> int:
        return self.tables[name].get(key, 0)


@dataclass(slots=True)
class GivenTo:
    """What one group got of one topic, added to by every pull that found something."""

    messages: int = 0
    bytes: int = 0


@dataclass(slots=True)
class _Window:
    """Every so many samples, as many as cover the window."""

    every: int
    samples: deque[Details]


@dataclass(slots=True)
class SendTimes:
    """How long the sends of each of the last turns took, from their arrival to their answer."""

    took_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_SEND_TIMES))

    def percentile(self, share: float) -> float:
        """The time that `share` (0 to 1) of the turns stayed within; 0 without any."""
        ordered = sorted(self.took_ms)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Statistics:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.pulls_found = 0
        self.pulls_missed = 0
        self.given = 0
        #: Messages that could not be stored.
        self.refused = 0
        self.slowest_pull_ms = 0.0
        self.given_to: defaultdict[tuple[str, str], GivenTo] = defaultdict(GivenTo)
        #: Messages that consumers gave back, by (topic, group).
        self.sent_back: Counter[tuple[str, str]] = Counter()
        self.send_times = SendTimes()
        #: Counters as of 00:00 yesterday and today, local time; 0 before the start.
        self.yesterday_morning = self.today_morning = Counters(0, 0, 0, 0)
        self._samples: deque[Sample] = deque(maxlen=int(WINDOWS_S[-1] / SAMPLE_INTERVAL_S) + 1)
        self._details = [
            _Window(round(interval_s / SAMPLE_INTERVAL_S), deque(maxlen=round(window_s / interval_s) + 1))
            for window_s, interval_s in DETAIL_WINDOWS_S
        ]
        self._sample_count = 0
        self._current: Details | None = None
        #: As things stood at the start: what has not changed since does not exist, as a statistic.
        self.at_start: Details | None = None
        self._today: datetime.date | None = None
        self._background = Background("statistics", self._round)

    async def start(self) -> None:
        self._background.start()

    async def stop(self) -> None:
        await self._background.stop()

    async def _round(self) -> float:
        self.sample(asyncio.get_running_loop().time(), self._local_date())
        return SAMPLE_INTERVAL_S

    def sample(self, now_s: float, today: datetime.date) -> None:
        if today != self._today:
            if self._today is not None:
                self.yesterday_morning, self.today_morning = self.today_morning, self.counters()
            self._today = today
        self._samples.append(Sample(now_s, self.counters()))
        details = self.details(now_s)
        self.at_start = self.at_start or details
        for window in self._details:
            if self._sample_count % window.every == 0:
                window.samples.append(details)
        self._sample_count += 1

    # ---- the whole broker

    def counters(self) -> Counters:
        return Counters(self._broker.store.put_statistics.count, self.pulls_found, self.pulls_missed, self.given)

    def rates(self, name: str) -> tuple[float, ...]:
        """The rate per second of one of `Counters` over each of `WINDOWS_S`; 0 until there are two samples."""
        return tuple(self._rate(window_s, lambda sample: int(getattr(sample.counters, name))) for window_s in WINDOWS_S)

    def _rate(self, window_s: float, value: Callable[[Sample], int]) -> float:
        if len(self._samples) < 2:
            return 0.0
        last = self._samples[-1]
        first = self._samples[max(0, len(self._samples) - 1 - round(window_s / SAMPLE_INTERVAL_S))]
        return (value(last) - value(first)) / (last.taken_s - first.taken_s)

    # ---- topics and groups

    def topic_rate(self, topic: str) -> float:
        """Messages stored per second in the last minute."""
        return self._detail_rate("TOPIC_PUT_NUMS", topic)

    def group_rate(self, topic: str, group: str) -> float:
        """Messages given to a group per second in the last minute."""
        return self._detail_rate("GROUP_GET_NUMS", f"{topic}@{group}")

    def windows(self) -> list[list[Details]]:
        """The samples of the last minute, hour and day, oldest first."""
        return [list(window.samples) for window in self._details]

    def current(self, now_s: float) -> Details:
        """How things stood at most half a second ago: tools ask for thousands of statistics one by one."""
        if self._current is None or now_s - self._current.taken_s > _CURRENT_S:
            self._current = self.details(now_s)
        return self._current

    def details(self, now_s: float) -> Details:
        """How things stand now. A table that is as it was in the last sample is that one: an idle broker costs none."""
        store, cluster = self._broker.store, self._broker.config.cluster_name
        messages, stored_bytes = store.totals_by_topic()
        groups = {f"{topic}@{group}": given for (topic, group), given in self.given_to.items()}
        tables: dict[str, Table] = {
            "TOPIC_PUT_NUMS": messages,
            "TOPIC_PUT_SIZE": stored_bytes,
            "GROUP_GET_NUMS": {key: given.messages for key, given in groups.items()},
            "GROUP_GET_SIZE": {key: given.bytes for key, given in groups.items()},
            "SNDBCK_PUT_NUMS": {f"{topic}@{group}": count for (topic, group), count in self.sent_back.items()},
            "BROKER_PUT_NUMS": {cluster: store.put_statistics.count},
            "BROKER_GET_NUMS": {cluster: self.given},
            "TIMER_DEQUEUE_NUMS": {cluster: self._broker.timers.delivered_count},
        }
        last = self._details[0].samples[-1].tables if self._details[0].samples else {}
        return Details(
            now_s, {name: last[name] if last.get(name) == table else table for name, table in tables.items()}
        )

    def timer_rate(self) -> float:
        """Timers delivered per second in the last minute."""
        return self._detail_rate("TIMER_DEQUEUE_NUMS", self._broker.config.cluster_name)

    def _detail_rate(self, name: str, key: str) -> float:
        samples = self._details[0].samples
        if len(samples) < 2:
            return 0.0
        first, last = samples[0], samples[-1]
        return (last.value(name, key) - first.value(name, key)) / (last.taken_s - first.taken_s)

    def _local_date(self) -> datetime.date:
        return datetime.datetime.fromtimestamp(self._broker.clock.now_ms() / 1000).astimezone().date()
