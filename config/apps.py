from __future__ import annotations

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """An app only so that Django finds the supervisor's commands (`up`, `down`, `status`, ...)."""

    name = "config"
