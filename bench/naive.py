"""
What the purge is compared with: one Celery task a conversation, on tables without any guard.

Run as a Celery worker of its own; NAIVE_QUEUE names the queue that only this run uses.
"""

from __future__ import annotations

import json
import os
from functools import cache
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3
from celery import Celery

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("naive")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_default_queue=os.environ.get("NAIVE_QUEUE", "naive"),
    task_routes={},
    beat_schedule={},
    worker_prefetch_multiplier=4,
    # 0: Celery closes the connection around each task, as it does unless told.
    db_reuse_max=int(os.environ.get("NAIVE_REUSE", "0")),
)

PARTS = ("party", "segment", "permitteduse", "rendition", "dialog", "storedobject")
# Copies of the product's rows, without its triggers and keys to other tables.
TABLES = [
    "CREATE TABLE naive_event (id uuid PRIMARY KEY, conversation uuid, body text,"
    " at timestamptz DEFAULT now())",
    *(
        f"CREATE TABLE naive_{name} (LIKE recordings_{name} INCLUDING INDEXES)"
        for name in ("conversation", *PARTS)
    ),
    "CREATE INDEX ON naive_segment (conversation_id)",
    "CREATE INDEX ON naive_dialog (conversation_id)",
    "CREATE INDEX ON naive_storedobject (conversation_id)",
    "CREATE INDEX ON naive_rendition (dialog_id)",
    "GRANT SELECT, INSERT, DELETE ON naive_event, naive_conversation,"
    f" {', '.join(f'naive_{name}' for name in PARTS)} TO tallenne_purge",
]


@cache
def _s3() -> S3Client:
    from django.conf import settings

    return boto3.client(
        "s3",
        endpoint_url=settings.S3_ENDPOINT_URL,
        region_name=settings.S3_REGION,
        aws_access_key_id=settings.S3_PURGE_ACCESS_KEY,
        aws_secret_access_key=settings.S3_PURGE_SECRET_KEY,
    )


@app.task(ignore_result=True)
def destroy(conversation_id: str) -> None:
    """Destroy one conversation: fetch it, delete its objects, its rows, and write an event."""
    from django.conf import settings
    from django.db import connection, transaction

    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM naive_conversation WHERE id = %s", [conversation_id])
        if cursor.fetchone() is None:
            return
        cursor.execute(
            "SELECT key, version_id FROM naive_storedobject WHERE conversation_id = %s",
            [conversation_id],
        )
        for key, version_id in cursor.fetchall():
            _s3().delete_object(Bucket=settings.S3_CONTENT_BUCKET, Key=key, VersionId=version_id)
        with transaction.atomic():
            cursor.execute(
                "DELETE FROM naive_rendition WHERE dialog_id IN "
                "(SELECT id FROM naive_dialog WHERE conversation_id = %s)",
                [conversation_id],
            )
            for table in ("dialog", "storedobject", "party", "segment", "permitteduse"):
                cursor.execute(
                    f"DELETE FROM naive_{table} WHERE conversation_id = %s",
                    [conversation_id],
                )
            cursor.execute("DELETE FROM naive_conversation WHERE id = %s", [conversation_id])
            cursor.execute(
                "INSERT INTO naive_event (id, conversation, body) VALUES (%s, %s, %s)",
                [
                    uuid4(),
                    conversation_id,
                    json.dumps({"op": "conversation.destroyed", "obj": conversation_id}),
                ],
            )
