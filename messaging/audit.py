"""Who did what with parked messages: a row before each deed of a person, and how it went behind it."""

from __future__ import annotations

from dataclasses import dataclass

from messaging.models import OperatorAction, ParkedMessage

_BY_LENGTH_MAX = 64
_WHY_LENGTH_MAX = 300


@dataclass(frozen=True)
class Operator:
    """A person, and the reason given."""

    by: str
    why: str

    def begins(self, action: OperatorAction.Action, service: str, first: ParkedMessage) -> OperatorAction:
        """Write down what is about to be done with a message, and whatever waits behind it."""
        return OperatorAction.objects.using(service).create(
            action=action,
            group=first.group,
            sharding_key=first.sharding_key,
            key=first.key,
            by=self.by[:_BY_LENGTH_MAX],
            why=self.why[:_WHY_LENGTH_MAX],
            body=first.body if action == OperatorAction.Action.DISCARD else None,
        )


def ended(action: OperatorAction, *, effect_count: int) -> None:
    """How many messages had their effect by it."""
    action.effect_count = effect_count
    action.save(update_fields=["effect_count"])
