"""One bundled broker for a module of tests, and `python -m mq admin` in this process: words in, words out."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from mq.admin.app import main
from mq.standalone import Standalone
from mq.testing import standalone

Beside = Callable[[Coroutine[Any, Any, Any]], Any]


class Admin:
    """Runs commands against a cluster, as a shell would."""

    def __init__(self, namesrv: str, broker: str) -> None:
        self.namesrv = namesrv
        self.broker = broker

    def run(self, *words: object) -> tuple[int, str, str]:
        """Exit status, output, errors."""
        out, err = io.StringIO(), io.StringIO()
        status = main([*map(str, words), "-n", self.namesrv], out, err)
        return status, out.getvalue(), err.getvalue()

    def __call__(self, *words: object) -> dict[str, Any]:
        """The JSON of a command that must succeed."""
        status, out, err = self.run(*words, "--json")
        assert (status, err) == (0, "")
        return dict(json.loads(out))

    def text(self, *words: object) -> str:
        """The plain output of a command that must succeed."""
        status, out, err = self.run(*words)
        assert (status, err) == (0, "")
        return out

    def refusal(self, *words: object) -> tuple[int, str]:
        """Status and sentence of a command that must fail with one line and say nothing else."""
        status, out, err = self.run(*words)
        assert out == ""
        (sentence,) = err.splitlines()
        return status, sentence.removeprefix("mq admin: ")


@contextmanager
def loop_in_thread() -> Iterator[Beside]:
    """Runs coroutines on a loop of its own, beside the loops that the commands make."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="beside")
    thread.start()
    try:
        yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def beside() -> Iterator[Beside]:
    with loop_in_thread() as run:
        yield run


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory, beside: Beside) -> Iterator[Admin]:
    broker = standalone(tmp_path_factory.mktemp("broker"), delay_levels=" ".join(["1s"] * 18))
    running: Standalone = beside(broker.__aenter__())
    yield Admin(running.namesrv, running.broker_address)
    beside(broker.__aexit__(None, None, None))
