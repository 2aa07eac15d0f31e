"""The web process, as granian loads it in each of its workers."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

from config import processes

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")
# granian's workers are children of its own: without this they would outlive it, and keep the port, when it is killed.
processes.die_with_parent()

application = get_wsgi_application()
