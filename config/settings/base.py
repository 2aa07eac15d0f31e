"""What is the same everywhere: apps, databases by service, the API's few middlewares."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from config import databases
from config.environment import SERVICES, environment

_environment = environment()

DEBUG = False
ALLOWED_HOSTS = _environment.allowed_hosts.split(",")
#: The staff's pages are served by a process of their own (`config.settings.staff`); here are only their tables.
_STAFF_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.admin.apps.SimpleAdminConfig",
    "backoffice",
]
SILENCED_SYSTEM_CHECKS = [f"admin.E{number}" for number in (402, 403, 404, 406, 408, 409, 410)]
#: ninja brings the page that shows the API, with everything on it: nothing is loaded from elsewhere.
INSTALLED_APPS = ["ninja", "config", "messaging", *SERVICES, *_STAFF_APPS, "verify", "tour"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
#: Served by the web server itself, see `config.supervisor.parts`.
STATIC_URL = "/static/"
MIDDLEWARE = [
    "common.api.refuse_other_methods",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False

DATABASES: dict[str, dict[str, Any]] = databases.by_service(_environment)
DATABASE_ROUTERS = ["config.router.ServiceRouter"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"

#: Requests carry a few order lines; a body over this is refused before it is read.
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024

PAYMENT_WINDOW = _environment.payment_window
#: How long inventory, coupons and accounts have to answer before an order is given up.
CONFIRM_WINDOW = timedelta(seconds=30)
#: Unpaid orders of one buyer, so that nobody hoards the stock.
OPEN_ORDERS_PER_BUYER_MAX = _environment.open_orders_per_buyer_max
#: From an orders.services.freight.Parcel to cents.
FREIGHT_RULE = "orders.services.freight.by_zone_and_weight"
RECEIPT_WINDOW = _environment.receipt_window
#: None is the system's clock; see common.clock.
CLOCK_OFFSET_FILE = _environment.clock_offset_file
MILLRACE_DATA = _environment.data.absolute()
WEB_URL = _environment.web_url
PAYSIM_URL = _environment.paysim_url
SHIPSIM_URL = _environment.shipsim_url or databases.embedded_shipsim_url(_environment.data)
PAYMENT_GATEWAY_URL = _environment.gateway_url
PAYMENT_NOTIFY_URL = _environment.notify_url
#: Who we are at the payment companies (two numbers at each), our private key, and the folder where keys change hands.
PAYMENT_APP_ID = "2021000000000001"
PAYMENT_SELLER_ID = "2088000000000001"
WECHAT_MCHID = "1900000001"
WECHAT_APP_ID = "wx0000000000000001"
PAYMENT_PRIVATE_KEY = MILLRACE_DATA / "payments" / "private.pem"
PAYMENT_KEYS = _environment.keys or MILLRACE_DATA / "keys"
MQ_NAMESRV_ADDR = _environment.mq_namesrv_addr or "127.0.0.1:9876"
#: Where SMS and push are written to, instead of being sent.
NOTIFICATIONS_OUTBOX = MILLRACE_DATA / "outbox"
REDIS_URL = _environment.redis_url or databases.embedded_redis_url(_environment.data)

#: To standard error, which the supervisor keeps. Refused requests are the buyer's business and not logged.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": _environment.log_level},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django.security": {"level": "CRITICAL"},
        "httpx": {"level": "WARNING"},
    },
}
