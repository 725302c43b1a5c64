"""Log lines as JSON, one event a line, and nothing of what people said or are called in them."""

from __future__ import annotations

import logging
from typing import Any

import structlog


def configure(settings: dict[str, Any]) -> None:
    """Send every logger's lines through structlog, to standard error as JSON."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings["level"])
    for name in ("django", "django.server"):
        # Django has given them handlers of its own by now.
        logging.getLogger(name).handlers = []
        logging.getLogger(name).propagate = True
    for quiet in ("botocore", "boto3", "urllib3", "django.utils.autoreload", "asyncio", "kombu"):
        logging.getLogger(quiet).setLevel(logging.WARNING)
