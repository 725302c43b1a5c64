"""Which request or task is at work, so that events of one deed can be found together."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from uuid import UUID

from celery import current_task

_request_id: ContextVar[UUID | None] = ContextVar("audit_request_id", default=None)


def current() -> str | None:
    """The id of the request being answered or the Celery task being run, or None outside both."""
    bound_id = _request_id.get()
    if bound_id is not None:
        return str(bound_id)
    task_id = current_task.request.id if current_task else None
    return _as_uuid(task_id) if task_id else None


@contextmanager
def bound(request_id: UUID) -> Iterator[None]:
    """Give everything done inside this id."""
    token = _request_id.set(request_id)
    try:
        yield
    finally:
        _request_id.reset(token)


def _as_uuid(text: str) -> str | None:
    # A task's id may be chosen by whoever sends it: only the form that cannot carry personal data.
    try:
        return str(UUID(text))
    except ValueError:
        return None
