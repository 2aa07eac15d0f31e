"""Two clusters for the whole session, and what each judge saw of both, played once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import pytest

from tests.interop import page
from tests.interop.apache import Cluster, apache_rocketmq
from tests.interop.bundled import bundled_broker
from tests.interop.judging import Judge, Seen

#: Short levels and transaction checks, so that ten retries do not take an hour; the same for both brokers.
BROKER_KEYS = {
    "messageDelayLevel": "1s 2s " + "1s " * 15 + "1s",
    "transactionTimeOut": "4000",
    # Apache stores that a half message is finished up to 3 s later, and asks about it again until then.
    "transactionOpBatchInterval": "100",
    "transactionCheckInterval": "1000",
    "enablePropertyFilter": "true",
}


@contextlib.contextmanager
def both_brokers(folder: Path) -> Iterator[dict[str, Cluster]]:
    with contextlib.ExitStack() as stack:
        clusters = {}
        for kind, start in (("bundled", bundled_broker), ("apache", apache_rocketmq)):
            (folder / kind).mkdir()
            clusters[kind] = stack.enter_context(start(folder / kind, BROKER_KEYS))
        yield clusters


@pytest.fixture(scope="session")
def shared_clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Cluster]]:
    with both_brokers(tmp_path_factory.mktemp("clusters")) as clusters:
        yield clusters


@pytest.fixture(scope="session")
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Judge], Seen]:
    """Plays a judge's cases on both brokers at once, the first time it is asked for.

    When something else is seen than the compatibility page tells, all is played once more: only what is seen again
    is a difference.
    """

    def play(judge: Judge, clusters: dict[str, Cluster]) -> Seen:
        folders = {kind: tmp_path_factory.mktemp(kind) for kind in clusters}
        with ThreadPoolExecutor(len(clusters)) as threads:
            runs = {kind: threads.submit(judge.run, cluster, folders[kind]) for kind, cluster in clusters.items()}
        return {kind: run.result() for kind, run in runs.items()}

    def play_afresh(judge: Judge) -> Seen:
        with both_brokers(tmp_path_factory.mktemp("clusters")) as clusters:
            return play(judge, clusters)

    @cache
    def seen_by(judge: Judge) -> Seen:
        judge.require_tools()
        judge.prepare()
        if not judge.needs_fresh_cluster:
            first = play(judge, request.getfixturevalue("shared_clusters"))
        else:
            first = play_afresh(judge)
        # Brokers, clients and other tests share two cores, and some patience may have come to its end.
        return first if page.shows(judge, first) else play_afresh(judge)

    return seen_by
