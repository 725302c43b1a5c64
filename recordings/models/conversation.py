"""The conversation, the one rule of who may use it, and what the database refuses of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import Exists, F, Func, OuterRef, Q, Subquery
from django.db.models.lookups import IsNull
from django.utils.translation import gettext_lazy as _
from uuid_utils.compat import uuid7

from accounts.models import (
    Controller,
    Purpose,
    RoleAssignment,
    Source,
    TeamPermission,
    Undertaking,
    UndertakingText,
    User,
)
from accounts.roles import ROLES_BY_PURPOSE

if TYPE_CHECKING:
    from django.db.models.fields.related_descriptors import RelatedManager

    from recordings.models.content import Dialog, StoredObject
    from recordings.models.people import Party, Segment
    from recordings.models.reference import BusinessReference
    from recordings.models.use import PermittedUse


def _any_of(rows: models.QuerySet[Any]) -> IsNull:
    """
    Say whether there is any of the rows, asked anew for each conversation.

    Beside an OR, PostgreSQL answers EXISTS by first reading all the rows there are for all
    conversations, for one page of fifty too.
    """
    return IsNull(Subquery(rows.order_by().values("pk")[:1]), False)


def _is_one_of(field: str, values: models.QuerySet[Any, Any]) -> Func:
    """
    Say whether the field is one of the values, which do not depend on the row.

    As an array they are read once; after IN they would be read anew with each conversation.
    """
    return Func(
        F(field),
        ArraySubquery(values),
        template="%(expressions)s)",
        arg_joiner=" = ANY (",
        output_field=models.BooleanField(),
    )


class ConversationQuerySet(models.QuerySet["Conversation"]):
    """Names for the conditions a conversation can be in."""

    def kept(self) -> Self:
        """Those whose content exists and is not about to go."""
        return self.filter(state=Conversation.State.KEPT)

    def uncovered(self) -> Self:
        """Those kept that no rule covers: closed to everybody, and due when nobody decides."""
        return self.kept().filter(Q(uncovered_at__isnull=False) | Q(destroy_after=None))

    def due(self, *, at: datetime) -> Self:
        """
        Those that have reached their end and that nothing bars from destruction.

        A source or a company that has not been released is only observed (design: the brake).
        """
        return self.kept().filter(
            destroy_after__lte=at,
            hold_count=0,
            open_requests=0,
            source__released_at__lte=at,
            controller__rules_released_at__lte=at,
        )

    def open_to(self, *, user: User, purpose: Purpose, at: datetime) -> Self:
        """
        Those whose content the user may have for the purpose at that time: the one access rule.

        It needs an active account, a role that serves the purpose for the controller, the current
        undertaking, a permitted use that has begun and not ended, and either a permission on a
        team that served the customer or a use written for this person alone (a matter's handler).
        Nobody hears a conversation in which she is the customer. Being superuser gives nothing.

        Source: design, laws 1 and 10; GDPR Art. 5(1)(b) and Art. 32(4).
        """
        from recordings.models.use import PermittedUse

        uses = PermittedUse.objects.current(purpose=purpose, at=at)
        for_anybody = uses.filter(conversation=OuterRef("pk"), only_for=None)
        for_her = uses.filter(only_for=user)
        return (
            self.kept()
            .filter(restricted_at=None, closed_at=None)
            .open_by(
                user=user,
                purpose=purpose,
                at=at,
                for_anybody=Q(_any_of(for_anybody)),
                for_her=Q(pk__in=for_her.values("conversation")),
            )
        )

    def open_by(
        self, *, user: User, purpose: Purpose, at: datetime, for_anybody: Q, for_her: Q
    ) -> Self:
        """
        What the access rule asks of the person, given what it says of the conversations' uses.

        Alone only for telling who could reach a conversation at a time when its uses were others:
        `open_to` is what opens.
        """
        from recordings.models.people import Party, Segment

        roles = RoleAssignment.objects.valid(at=at).filter(
            user=user,
            user__is_active=True,
            role__in=ROLES_BY_PURPOSE.get(purpose.code, frozenset()),
        )
        texts = UndertakingText.objects.filter(in_force_from__lte=at).order_by("-version")
        undertakings = Undertaking.objects.valid(at=at).filter(
            user=user, text_id=Subquery(texts.values("version")[:1])
        )
        teams = (
            TeamPermission.objects.valid(at=at)
            .filter(user=user, purpose=purpose, permission__codename="hear_team")
            .values("content_object_id")
        )
        in_scope = Segment.objects.filter(_is_one_of("team_id", teams), conversation=OuterRef("pk"))
        about_herself = Party.objects.filter(
            conversation=OuterRef("pk"), user=user, role=Party.Role.CUSTOMER
        )
        return (
            self.filter(Exists(undertakings))
            .filter(
                Exists(roles.filter(controller=None))
                | Q(controller__in=roles.values("controller_id"))
            )
            .filter((Q(_any_of(in_scope)) & for_anybody) | for_her)
            .exclude(Exists(about_herself))
        )


class Conversation(models.Model):
    """One contact with a customer: the unit that is kept, held and destroyed whole."""

    class State(models.TextChoices):
        """kept → withdrawn → destroyed."""

        KEPT = "kept", _("Kept")
        WITHDRAWN = "withdrawn", _("Withdrawn")
        DESTROYED = "destroyed", _("Destroyed")

    class Kind(models.TextChoices):
        """How the customer was in contact."""

        CALL = "call", _("Call")
        CHAT = "chat", _("Chat")

    class Direction(models.TextChoices):
        """Who began."""

        INBOUND = "inbound", _("From the customer")
        OUTBOUND = "outbound", _("To the customer")
        INTERNAL = "internal", _("Internal")

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    controller = models.ForeignKey(
        Controller, on_delete=models.PROTECT, related_name="conversations"
    )
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="conversations")
    # What the source calls it, in clear only while kept: it can hold a telephone number.
    external_id = models.CharField(max_length=500, blank=True)
    external_id_hash = models.BinaryField(max_length=32)
    content_hash = models.BinaryField(max_length=32)
    kind = models.CharField(max_length=4, choices=Kind)
    direction = models.CharField(max_length=10, choices=Direction, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    duration_seconds = models.FloatField()
    message_count = models.PositiveIntegerField(default=0)
    language = models.CharField(max_length=10, blank=True)
    outcome = models.CharField(max_length=50, blank=True, default="", db_default="")
    tags = models.JSONField(default=list, blank=True)
    # The version of the privacy notice that was in force when it began; empty is unknown.
    notice = models.CharField(max_length=100, blank=True)
    informed_by = models.CharField(max_length=20, blank=True)
    linked_to = models.ForeignKey(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="continued_by"
    )
    captured_at = models.DateTimeField()

    state = models.CharField(max_length=10, choices=State, default=State.KEPT)
    destroy_after = models.DateTimeField(null=True, blank=True)
    # Since when no rule covers it; `destroy_after` is then the time before which to decide.
    uncovered_at = models.DateTimeField(null=True, blank=True)
    hold_count = models.PositiveIntegerField(default=0)
    open_requests = models.PositiveIntegerField(default=0)
    restricted_at = models.DateTimeField(null=True, blank=True)
    closed_at = models.DateTimeField(
        null=True, blank=True, help_text="Reported as captured by mistake: closed until decided."
    )
    withdrawn_at = models.DateTimeField(null=True, blank=True)
    key_destroyed_at = models.DateTimeField(null=True, blank=True)
    destroyed_at = models.DateTimeField(null=True, blank=True)

    kek_name = models.CharField(max_length=100, blank=True)
    wrapped_key = models.BinaryField(null=True)

    objects = ConversationQuerySet.as_manager()

    if TYPE_CHECKING:
        dialogs: RelatedManager[Dialog]
        stored_objects: RelatedManager[StoredObject]
        parties: RelatedManager[Party]
        segments: RelatedManager[Segment]
        permitted_uses: RelatedManager[PermittedUse]
        references: RelatedManager[BusinessReference]

    class Meta:
        indexes = [
            # recordings.queries.page: newest first, of what is kept
            models.Index(
                fields=["-started_at", "-id"],
                name="conversation_kept_newest",
                condition=Q(state="kept"),
            ),
            # due(): the search for what has reached its end
            models.Index(
                fields=["destroy_after"],
                name="conversation_kept_by_end",
                condition=Q(state="kept"),
            ),
            # uncovered(), and the reminders of it
            models.Index(
                fields=["controller", "destroy_after"],
                name="conversation_uncovered",
                condition=Q(uncovered_at__isnull=False),
            ),
            # retention: what a purge has begun and not finished
            models.Index(
                fields=["withdrawn_at"],
                name="conversation_withdrawn",
                condition=Q(state="withdrawn"),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                name="conversation_captured_once", fields=["source", "external_id_hash"]
            ),
            models.CheckConstraint(
                name="conversation_ends_after_it_starts",
                condition=Q(ended_at__gte=models.F("started_at")),
            ),
            models.CheckConstraint(
                name="conversation_uncovered_until_a_time",
                condition=Q(uncovered_at=None) | Q(destroy_after__isnull=False),
            ),
            models.CheckConstraint(
                name="conversation_held_only_if_kept",
                condition=Q(state="kept") | Q(hold_count=0),
            ),
            models.CheckConstraint(
                name="conversation_kept_with_its_key",
                condition=~Q(state="kept")
                | Q(wrapped_key__isnull=False, withdrawn_at=None, key_destroyed_at=None),
            ),
            models.CheckConstraint(
                name="conversation_withdrawn_at_unless_kept",
                condition=Q(state="kept") | Q(withdrawn_at__isnull=False),
            ),
            models.CheckConstraint(
                name="conversation_key_gone_iff_destroyed_at",
                condition=Q(wrapped_key__isnull=False, key_destroyed_at=None)
                | Q(wrapped_key=None, key_destroyed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="conversation_destroyed_at_iff_destroyed",
                condition=Q(state="destroyed", destroyed_at__isnull=False, wrapped_key=None)
                | (~Q(state="destroyed") & Q(destroyed_at=None)),
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)
