from __future__ import annotations

import json

import pytest
from django.core.management import CommandError, call_command

from config.environment import SERVICES
from messaging import by_hand, processing
from messaging.models import OperatorAction, ParkedMessage
from messaging.tests.clockmaker import GROUP, SERVICE, ClockOrdered, ClockRepaired, received, registry_with

pytestmark = pytest.mark.django_db(databases=SERVICES)


def park(*events):
    def refuse(event):
        raise ValueError("no key fits")

    processing.process([received(event) for event in events], group=GROUP, registry=registry_with(refuse))


class TestParked:
    def test_lists_what_waits_and_why(self, capsys):
        park(ClockOrdered(order_no="A1"), ClockRepaired(order_no="A1"))

        call_command("parked", "list", "--json")

        rows = json.loads(capsys.readouterr().out)
        assert [(row["service"], row["sharding_key"], row["key"], row["reason"]) for row in rows] == [
            (SERVICE, "A1", "ClockOrdered:A1", "ValueError('no key fits')"),
            (SERVICE, "A1", "ClockRepaired:A1", "waits for ClockOrdered:A1"),
        ]

    def test_says_when_nothing_does(self, capsys):
        call_command("parked", "list")

        assert capsys.readouterr().out == "Nothing is parked.\n"

    def test_gives_the_first_one_up_and_lets_the_next_one_try(self, capsys):
        park(ClockOrdered(order_no="A1"), ClockRepaired(order_no="A1"))

        call_command("parked", "discard", GROUP, "A1")

        left = ParkedMessage.objects.using(SERVICE).get()
        assert left.key == "ClockRepaired:A1"
        assert left.next_attempt_at is not None
        assert '"order_no":"A1"' in capsys.readouterr().out

    def test_refuses_to_give_up_what_is_not_there(self):
        with pytest.raises(CommandError, match="nothing of group 'clockmaker' is parked under 'A1'"):
            call_command("parked", "discard", GROUP, "A1")


class TestHistory:
    def test_tells_who_gave_up_what_and_why_and_keeps_the_message(self, capsys):
        park(ClockOrdered(order_no="A1"))

        call_command("parked", "discard", GROUP, "A1", "--by", "alice", "--why", "the clock was sold twice")
        capsys.readouterr()
        call_command("parked", "history", "--json")

        [row] = json.loads(capsys.readouterr().out)
        assert (row["by"], row["action"], row["key"]) == ("alice", "DISCARD", "ClockOrdered:A1")
        assert row["why"] == "the clock was sold twice"
        assert b'"order_no":"A1"' in bytes(OperatorAction.objects.using(SERVICE).get().body or b"")

    def test_tells_who_tried_again_and_how_it_went(self, capsys, monkeypatch):
        park(ClockOrdered(order_no="A1"), ClockRepaired(order_no="A1"))

        async def two_had_effect(places):
            return [2 for _ in places]

        monkeypatch.setattr(by_hand, "_retry", two_had_effect)
        call_command("parked", "redrive", "--by", "alice", "--why", "the locksmith is back")
        capsys.readouterr()
        call_command("parked", "history")

        said = capsys.readouterr().out
        assert "alice: REDRIVE clockmaker A1 (ClockOrdered:A1): 2 had effect. the locksmith is back" in said
