"""Who works here, for which company, and what binds them."""

from accounts.models.notice import NoticedTime, PrivacyNotice
from accounts.models.organization import Controller, Purpose, Queue, Source, Team
from accounts.models.rights import RoleAssignment, TeamPermission
from accounts.models.undertaking import Undertaking, UndertakingText
from accounts.models.user import User

__all__ = [
    "Controller",
    "NoticedTime",
    "PrivacyNotice",
    "Purpose",
    "Queue",
    "RoleAssignment",
    "Source",
    "Team",
    "TeamPermission",
    "Undertaking",
    "UndertakingText",
    "User",
]
