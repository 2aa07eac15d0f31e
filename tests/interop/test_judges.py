"""Clients that we did not write: the bundled broker and Apache RocketMQ must give each of them the same answers.

What they saw is the table of the compatibility page. A run that saw something else writes the page anew and fails, so
that the page in the repository is always what the last run saw.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.interop import cpp_client, go_client, java_client, mqadmin, node_client, page
from tests.interop.judging import FAILED, Judge, Seen

pytestmark = [pytest.mark.interop, pytest.mark.timeout(400)]

JUDGES = [*java_client.JUDGES, go_client.JUDGE, cpp_client.JUDGE, node_client.JUDGE, mqadmin.JUDGE]
#: Both tests of a judge in one process, which plays its cases once.
judged = pytest.mark.parametrize(
    "judge", [pytest.param(judge, id=str(judge), marks=pytest.mark.xdist_group(str(judge))) for judge in JUDGES]
)


@judged
def test_both_brokers_give_the_same_answers(judge: Judge, seen: Callable[[Judge], Seen]) -> None:
    bundled, apache = (seen(judge)[kind] for kind in ("bundled", "apache"))

    failed = {case: answer for case, answer in bundled.items() if answer.startswith(FAILED)}
    assert not failed
    assert list(bundled) == list(apache)
    different = {case: (bundled[case], apache[case]) for case in bundled if bundled[case] != apache[case]}
    unexpected = {case: answers for case, answers in different.items() if case not in judge.differences}
    assert not unexpected, "\n\n".join(page.side_by_side(case, *answers) for case, answers in unexpected.items())
    assert set(judge.differences) <= set(different), "no difference any more"


@judged
def test_the_compatibility_page_shows_what_this_run_saw(judge: Judge, seen: Callable[[Judge], Seen]) -> None:
    difference = page.update(judge, seen(judge))

    assert not difference, f"docs/compatibility.md was written anew; look at it and commit it:\n{difference}"
