#!/usr/bin/env python
"""Django's command line: `manage.py up`, `down`, `status`, `verify`, `demo` and the rest of the shop's commands."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")
    from django.core.management import execute_from_command_line

    from config.errors import CannotStart

    try:
        execute_from_command_line(sys.argv)
    except CannotStart as refusal:  # The sentence is all that helps; where in the code it was noticed does not.
        print(refusal, file=sys.stderr)
        raise SystemExit(CannotStart.exit_status) from None


if __name__ == "__main__":
    main()
