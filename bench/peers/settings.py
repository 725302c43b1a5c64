"""The product's settings, with one library more that audits the application `bench.peers`."""

import os

from config.settings import *  # noqa: F403

LIBRARIES = ("auditlog", "easyaudit")
# What is measured, or all of them to make their tables.
AUDITED_BY = os.environ["BENCH_AUDITED_BY"]

INSTALLED_APPS = [
    *INSTALLED_APPS,  # noqa: F405
    *(name for name in LIBRARIES if AUDITED_BY in (name, "all")),
    "bench.peers",
]
AUDITLOG_INCLUDE_TRACKING_MODELS = ("peers.Claim",)
DJANGO_EASY_AUDIT_REGISTERED_CLASSES = ["peers.Claim"]
DJANGO_EASY_AUDIT_WATCH_AUTH_EVENTS = False
DJANGO_EASY_AUDIT_WATCH_REQUEST_EVENTS = False
