from __future__ import annotations

from django.apps import AppConfig


class TourConfig(AppConfig):
    """An app only so that Django finds the command."""

    name = "tour"
