from __future__ import annotations

import io

import pytest
from rich.console import Console

from tour.story import Story


@pytest.fixture
def paper() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def story(paper: io.StringIO) -> Story:
    return Story(Console(file=paper, width=80))


class TestStory:
    def test_marks_what_came_true(self, story, paper):
        story.check(True, "the order is PAID")

        assert "✓ the order is PAID" in paper.getvalue()
        assert story.failures == []

    def test_remembers_what_did_not(self, story, paper):
        story.check(False, "the order is PAID")

        assert "✗ not so: the order is PAID" in paper.getvalue()
        assert story.failures == ["not so: the order is PAID"]

    def test_prints_what_others_say_as_it_is(self, story, paper):
        story.did("[red]not markup[/] of ours, and a line that is much longer than the eighty characters of the paper")

        assert "[red]not markup[/] of ours" in paper.getvalue()
        assert paper.getvalue().count("\n") == 1
