"""The deeds of this room."""

from accounts.operations.preferences import set_preferences
from accounts.operations.roles import assign_role, grant_team, revoke_team
from accounts.operations.sessions import (
    record_password_change,
    record_refused_sign_in,
    record_sign_in,
    record_sign_out,
    refuse_page,
)
from accounts.operations.undertakings import NothingToAccept, accept_undertaking

__all__ = [
    "NothingToAccept",
    "accept_undertaking",
    "assign_role",
    "grant_team",
    "record_password_change",
    "record_refused_sign_in",
    "record_sign_in",
    "record_sign_out",
    "refuse_page",
    "revoke_team",
    "set_preferences",
]
