"""One run: a cluster at work, a minute of faults that the seed decides, then peace; in the end the history is right."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mq.tests.simulation.cluster import CONCURRENT, ORDERLY, Cluster
from mq.tests.simulation.history import History
from mq.tests.simulation.loop import SimulatedLoop, simulated_time

FAULTS_S = 40.0
PATIENCE_S = 400.0
GROUPS = [ORDERLY, CONCURRENT]


def run(seed: int, root: Path) -> History:
    """Play the run of this seed in `root`; the history, checked.

    Raises: AssertionError: a promise was broken, or peace did not bring everything to its end.
    """
    loop = SimulatedLoop(seed)
    random.seed(seed)  # The client's own chance, such as the queue with which a producer begins.
    # A killed process loses nothing that it had written: only a power cut does, which has tests of its own.
    with simulated_time(loop), patch.object(os, "fsync", loop.sync), patch.object(os, "fdatasync", loop.sync):
        cluster = Cluster(loop, root)
        try:
            loop.run_until_complete(_play(cluster))
            return cluster.history
        finally:
            logging.disable()
            for name in list(cluster.machines):
                cluster.kill(name)
            loop.bury()
            logging.disable(logging.NOTSET)


async def _play(cluster: Cluster) -> None:
    lives: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "namesrv": cluster.name_server,
        "broker": cluster.broker_life,
        "sender": cluster.ordered_sender,
        "transactions": cluster.transaction_sender,
    }
    for number in range(2):
        for group in GROUPS:
            lives[f"{group}-{number}"] = lambda group=group: cluster.consumer(group)  # type: ignore[misc]
    for name, life in lives.items():
        await cluster.start(name, life)
        await asyncio.sleep(cluster.loop.chance.expovariate(2))
    faults = []
    while cluster.loop.time() < FAULTS_S:
        await asyncio.sleep(cluster.loop.chance.expovariate(1 / 3))
        faults.append(asyncio.create_task(_break_something(cluster, lives)))
    await asyncio.wait(faults)
    cluster.network.heal()
    cluster.network.mean_delay_s = 0.001
    for name, life in lives.items():
        if not cluster.is_alive(name):
            await cluster.start(name, life)
    await _until(cluster, lambda: cluster.history.is_complete(GROUPS))
    cluster.history.check(GROUPS, ORDERLY)


async def _break_something(cluster: Cluster, lives: dict[str, Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """One fault. Whoever is killed comes back after a while; so does a line."""
    chance, network = cluster.loop.chance, cluster.network
    match chance.choice(["kill", "kill", "kill broker", "break", "break", "cut off", "slow"]):
        case "kill":
            name = chance.choice([name for name in lives if name != "sender" and cluster.is_alive(name)])
            await _kill_and_restart(cluster, name, lives[name])
        case "kill broker" if cluster.is_alive("broker"):
            await _kill_and_restart(cluster, "broker", lives["broker"])
        case "break" if network.lines:
            chance.choice(network.lines).break_()
        case "cut off":
            network.cut_off.add(chance.choice(list(lives)))
            await asyncio.sleep(chance.uniform(0.5, 8))
            network.heal()
        case "slow":
            network.mean_delay_s = chance.choice([0.0005, 0.005, 0.05, 0.3])


async def _kill_and_restart(cluster: Cluster, name: str, life: Callable[[], Coroutine[Any, Any, None]]) -> None:
    cluster.kill(name)
    await asyncio.sleep(cluster.loop.chance.expovariate(1))
    await cluster.start(name, life)


async def _until(cluster: Cluster, is_so: Callable[[], bool]) -> None:
    await asyncio.wait_for(cluster.senders_done(), PATIENCE_S)
    ends_at_s = cluster.loop.time() + PATIENCE_S
    while not is_so():
        if cluster.loop.time() > ends_at_s:
            cluster.history.check(GROUPS, ORDERLY)
        await asyncio.sleep(1)
