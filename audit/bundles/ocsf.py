"""Events in the words of security systems: the Open Cybersecurity Schema Framework, 1.7.0."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from audit.events import EventType

VERSION = "1.7.0"
_INFORMATIONAL, _LOW = 1, 2
_STATUS = {"allow": (1, "Success"), "deny": (2, "Failure"), "error": (2, "Failure")}


class _Activity(NamedTuple):
    class_uid: int
    activity_id: int


_FILE_HOSTING, _AUTHENTICATION, _ACCESS, _ACCOUNT, _API = 6006, 3002, 3005, 3001, 6003
_OTHER = 99

T = EventType
# What is not named here is a call of the application (API Activity), with its type as operation.
ACTIVITIES: Mapping[str, _Activity] = {
    T.CONVERSATION_CAPTURED: _Activity(_FILE_HOSTING, 1),
    T.CONVERSATION_DESTROYED: _Activity(_FILE_HOSTING, 4),
    T.CONVERSATION_VIEWED: _Activity(_FILE_HOSTING, 9),
    T.DIALOG_PLAYED: _Activity(_FILE_HOSTING, 14),
    T.CHAT_READ: _Activity(_FILE_HOSTING, 14),
    T.PLAYBACK_REFUSED: _Activity(_FILE_HOSTING, 14),
    T.CONVERSATION_REFUSED: _Activity(_FILE_HOSTING, 14),
    T.AUDIT_EXPORTED: _Activity(_FILE_HOSTING, 2),
    T.SESSION_SIGNED_IN: _Activity(_AUTHENTICATION, 1),
    T.SESSION_REFUSED: _Activity(_AUTHENTICATION, 1),
    T.SESSION_SIGNED_OUT: _Activity(_AUTHENTICATION, 2),
    T.ROLE_ASSIGNED: _Activity(_ACCESS, 1),
    T.TEAM_PERMISSION_GRANTED: _Activity(_ACCESS, 1),
    T.ROLE_ENDED: _Activity(_ACCESS, 2),
    T.TEAM_PERMISSION_REVOKED: _Activity(_ACCESS, 2),
    T.USER_CREATED: _Activity(_ACCOUNT, 1),
    T.PASSWORD_CHANGED: _Activity(_ACCOUNT, 3),
}


def ocsf(body: Mapping[str, Any], *, log: str) -> dict[str, object]:
    """Give an event's body as an OCSF event; what has no place there stands under `unmapped`."""
    class_uid, activity_id = ACTIVITIES.get(body["op"], _Activity(_API, _OTHER))
    status_id, status = _STATUS[body["out"]]
    user = {"uid": body["act"]["ref"], "type": body["act"]["t"]}
    said: dict[str, object] = {
        "activity_id": activity_id,
        "category_uid": class_uid // 1000,
        "class_uid": class_uid,
        "type_uid": class_uid * 100 + activity_id,
        "severity_id": _INFORMATIONAL if body["out"] == "allow" else _LOW,
        "status_id": status_id,
        "status": status,
        "time": int(datetime.fromisoformat(body["ts"]).timestamp() * 1000),
        "actor": {"user": user},
        "metadata": {
            "version": VERSION,
            "uid": body["id"],
            "original_event_uid": body["id"],
            "original_time": body["ts"],
            "event_code": body["op"],
            "tenant_uid": body.get("ctl", log),
            "log_name": log,
            "product": {"name": "Tallenne", "vendor_name": "Tallenne"},
        },
        "unmapped": {
            key: body[key] for key in ("sub", "pur", "bas", "obj", "x", "req") if key in body
        },
    }
    if class_uid == _FILE_HOSTING:
        target = body.get("obj", {})
        said["file"] = {"name": target.get("ref", ""), "type": target.get("t", ""), "type_id": 1}
        # Addresses are personal data and stand in no body.
        said["src_endpoint"] = {"uid": body.get("req", {}).get("id", "none")}
    elif class_uid == _API:
        said["api"] = {"operation": body["op"]}
        said["src_endpoint"] = {"uid": body.get("req", {}).get("id", "none")}
    else:
        said["user"] = {"uid": body.get("x", {}).get("user", body["act"]["ref"])}
    return said
