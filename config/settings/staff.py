"""The staff's process: Django's admin with sessions and CSRF protection, in a process and on a port of its own.

The shop's own processes carry none of it: a request of a buyer passes through two middlewares, not eight.
"""

from __future__ import annotations

from config.settings.base import *  # noqa: F403  # settings are one namespace, as Django wants them
from config.settings.base import INSTALLED_APPS, MIDDLEWARE, TEMPLATES
from config.settings.dev import SECRET_KEY as SECRET_KEY

INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.messages", "django.contrib.staticfiles"]
ROOT_URLCONF = "backoffice.urls"
APPEND_SLASH = True
MIDDLEWARE = [
    "whitenoise.middleware.WhiteNoiseMiddleware",
    *MIDDLEWARE,
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    TEMPLATES[0]
    | {
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        }
    }
]
#: The admin's own styles, straight from the package: nothing has to be collected first.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = False
SESSION_COOKIE_AGE = 8 * 3600
SESSION_COOKIE_SAMESITE = "Strict"
CSRF_COOKIE_SAMESITE = "Strict"
SILENCED_SYSTEM_CHECKS = []
