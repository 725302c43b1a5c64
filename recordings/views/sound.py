"""The sound itself, range by range, and its waveform. Media answer 404 or 401, never a redirect."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import NoReturn
from uuid import UUID

import structlog
from asgiref.sync import sync_to_async
from django.db import connections
from django.http import HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.views.decorators.http import require_safe

from accounts.http import SignedInRequest
from accounts.operations import refuse_page
from accounts.queries import has_undertaken
from audit.events import Target
from audit.operations import AuditUnavailable
from recordings.encryption import ContentAltered, RangeDecrypter
from recordings.keyring import FileKeyring, KeyDoesNotFit, KeyMissing, KeyringUnavailable
from recordings.media.peaks import peaks_by_channel
from recordings.objectstore import ObjectMissing, ObjectStore, StoreRefused, StoreUnavailable
from recordings.operations.access import AccessRefused, raise_incident
from recordings.operations.playback import OpenedRange, open_range, open_waveform
from recordings.ranges import RangeNotSatisfiable
from recordings.views.looking import looker_of

log = structlog.get_logger()
UNAVAILABLE = (
    AuditUnavailable,
    StoreUnavailable,
    StoreRefused,
    ObjectMissing,
    KeyringUnavailable,
    KeyMissing,
)


async def sound(request: SignedInRequest, dialog_id: UUID) -> HttpResponseBase:
    """
    Answer one range of a recording, at most STREAM_RANGE_BYTES of it.

    The rule is asked and the event committed for this very range; then the store is opened, and
    the first piece is decrypted and checked before the answer begins.
    """
    if request.method != "GET":
        return HttpResponse(status=405, headers={"Allow": "GET"})
    try:
        opened = await sync_to_async(_open)(request, dialog_id)
        pieces = _decrypted(opened, dialog_id, request)
        first = await anext(pieces)
    except AccessRefused:
        return HttpResponse(status=404)
    except RangeNotSatisfiable as refused:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{refused}"})
    except UNAVAILABLE as stopped:
        log.warning("sound_unavailable", dialog=str(dialog_id), reason=type(stopped).__name__)
        return HttpResponse(str(stopped), status=503, content_type="text/plain; charset=utf-8")
    except KeyDoesNotFit:
        await sync_to_async(_raise_incident)(request, dialog_id)
        return HttpResponse(status=503)
    except ContentAltered:
        return HttpResponse(status=503)
    return StreamingHttpResponse(
        _chained(first, pieces),
        status=206 if opened.range.is_partial else 200,
        content_type=opened.mediatype,
        headers={
            "Accept-Ranges": "bytes",
            "Content-Length": str(opened.range.length),
            "Cache-Control": "no-store",
            "Content-Disposition": "inline",
            **({"Content-Range": opened.range.content_range} if opened.range.is_partial else {}),
        },
    )


sound.answers_401 = True  # type: ignore[attr-defined]


def _open(request: SignedInRequest, dialog_id: UUID) -> OpenedRange:
    try:
        looker = looker_of(request)
        play_id = _play_id(request)
        if looker is None or play_id is None:
            _refuse(request, "recordings:sound")
        return open_range(
            looker=looker,
            dialog_id=dialog_id,
            play_id=play_id,
            range_header=request.headers.get("Range"),
            keyring=FileKeyring.from_settings(),
        )
    finally:
        # A slow listener must not keep a database connection for as long as she listens.
        connections.close_all()


def _refuse(request: SignedInRequest, page: str) -> NoReturn:
    """Log that no purpose, undertaking or listening stands behind the request, and refuse it."""
    refuse_page(user=request.user, page=page, log=None, now=request.arrived_at)
    raise AccessRefused


def _play_id(request: SignedInRequest) -> UUID | None:
    try:
        return UUID(request.GET.get("play", ""))
    except ValueError:
        return None


async def _decrypted(
    opened: OpenedRange, dialog_id: UUID, request: SignedInRequest
) -> AsyncGenerator[bytes]:
    """
    The plain bytes of the range; none of a segment before its tag is checked.

    What arrives garbled or cut short is asked for once more, leaving out what was given already.
    """
    given, is_told = 0, False
    for is_last_try in (False, True):
        stored = await ObjectStore.for_content().open_range(
            opened.object_key, opened.version_id, opened.span.stored_first, opened.span.stored_last
        )
        decrypter, passed = RangeDecrypter(reader=opened.reader, span=opened.span), 0
        try:
            async for chunk in stored:
                plain = decrypter.update(chunk)
                fresh = plain[max(0, given - passed) :]
                passed += len(plain)
                if fresh:
                    given += len(fresh)
                    yield fresh
            decrypter.finalize()
        except (ContentAltered, StoreUnavailable) as broken:
            log.error("sound_broke_off", dialog=str(dialog_id), reason=type(broken).__name__)
            if isinstance(broken, ContentAltered) and not is_told:
                is_told = True
                await sync_to_async(_raise_incident)(request, dialog_id)
            if is_last_try:
                raise
        else:
            return
        finally:
            stored.close()


async def _chained(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    # Whoever goes away in the middle lets go of the store's connection at once.
    async with aclosing(rest):
        # Saving the session, after the view, may have opened one more.
        await sync_to_async(connections.close_all)()
        yield first
        async for piece in rest:
            yield piece


def _raise_incident(request: SignedInRequest, dialog_id: UUID) -> None:
    """Say so in the log, and keep no database connection for the rest of a slow answer."""
    try:
        raise_incident(
            target=Target("dialog", str(dialog_id)), step="playback", now=request.arrived_at
        )
    finally:
        connections.close_all()


@require_safe
def waveform(request: SignedInRequest, dialog_id: UUID) -> HttpResponse:
    """Answer the peaks of a recording as JSON: `duration`, `channels` of -1..1, `roles`."""
    looker = looker_of(request)
    try:
        if looker is None or not has_undertaken(user=request.user, at=request.arrived_at):
            _refuse(request, "recordings:waveform")
        dialog, peaks = open_waveform(
            looker=looker, dialog_id=dialog_id, keyring=FileKeyring.from_settings()
        )
    except AccessRefused:
        return HttpResponse(status=404)
    except UNAVAILABLE as stopped:
        return HttpResponse(str(stopped), status=503, content_type="text/plain; charset=utf-8")
    except (ContentAltered, KeyDoesNotFit):
        _raise_incident(request, dialog_id)
        return HttpResponse(status=503)
    return JsonResponse(
        {
            "duration": dialog.duration_seconds,
            "channels": peaks_by_channel(peaks),
            "roles": dialog.channel_roles,
        },
        headers={"Cache-Control": "no-store"},
    )


waveform.answers_401 = True  # type: ignore[attr-defined]
