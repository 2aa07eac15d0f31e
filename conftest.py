"""One real PostgreSQL for the whole session, shared by the workers of pytest-xdist; a set of databases for each.

It starts when the first test asks for a database (with xdist: before the workers, which inherit its address), costs
about half a second, and dies with the session, however that ends. A test names the databases it uses:

    pytestmark = pytest.mark.django_db(databases=["inventory"])                      # rolled back after each test
    @pytest.mark.django_db(databases=["inventory"], transaction=True)                # real commits, for races
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.nodeid import NodeId

from config.embedded.postgres import THROW_AWAY, EmbeddedPostgres

#: Where the workers find the session's server.
ADDRESS_VARIABLE = "MILLRACE_TEST_POSTGRES"


class SessionPostgres:
    """The session's server; started at most once, by the process that outlives all workers."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._directory: Path | None = None

    def start(self) -> None:
        if ADDRESS_VARIABLE in os.environ:
            return
        self._directory = Path(tempfile.mkdtemp(prefix="millrace-test-"))
        server = EmbeddedPostgres(self._directory / "data", self._directory / "run", THROW_AWAY)
        server.sockets.mkdir(mode=0o700)
        server.initialize()
        with (self._directory / "log").open("wb") as log:
            self._process = server.start(log)
        server.wait_until_ready(self._process, timeout_s=20)
        os.environ[ADDRESS_VARIABLE] = str(server.sockets)

    def stop(self) -> None:
        if self._process is None or self._directory is None:
            return
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=20)
        shutil.rmtree(self._directory, ignore_errors=True)
        del os.environ[ADDRESS_VARIABLE]


_postgres = SessionPostgres()


def pytest_addoption(parser: pytest.Parser) -> None:
    # Here, because pytest asks for options before it knows the folder of the tests that use this one.
    parser.addoption(
        "--broker",
        choices=("bundled", "apache"),
        default="bundled",
        help="whose broker the client's own tests (mq/client/tests) run against; Apache's needs a JDK and Maven",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        _postgres.start()


def pytest_unconfigure(config: pytest.Config) -> None:
    _postgres.stop()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Groups of tests stay together: pytest-xdist 3.8 writes a test's group where pytest 9.2 no longer looks."""
    for item in items:
        grouped = getattr(item, "_nodeid", None)
        if grouped is not None and grouped != item.nodeid:
            item._id = NodeId.parse(grouped)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests measured (`record_property("figure", text)`), as a promise is worth no more than its figure."""
    reports = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    figures = [str(value) for report in reports for name, value in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures")
        for figure in sorted(figures):
            terminalreporter.write_line(figure)


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Says what was measured, at the end of the run."""
    return lambda text: record_property("figure", text)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """pytest-django's hook before it creates the databases: point every service at the session's server."""
    from django.db import connections

    _postgres.start()
    for connection in connections.all():
        if connection.alias != "default":
            connection.settings_dict["HOST"] = os.environ[ADDRESS_VARIABLE]
