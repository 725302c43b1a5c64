"""The companies, their teams and queues, their purposes, and the systems they record with."""

from __future__ import annotations

from django.db import models
from django.utils.translation import get_language
from uuid_utils.compat import uuid7


class Controller(models.Model):
    """A company that decides why and how conversations are kept (GDPR Art. 4(7))."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(unique=True)
    time_zone = models.CharField(max_length=64, default="Europe/Helsinki")
    rules_released_at = models.DateTimeField(
        null=True, blank=True, help_text="Until then purge runs only say what they would destroy."
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Team(models.Model):
    """People who serve customers together; `employer` may differ from whom they answer for."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=200)
    slug = models.SlugField(unique=True)
    employer = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="teams")

    class Meta:
        ordering = ["name"]
        permissions = [("hear_team", "Can hear and read the conversations of the team")]

    def __str__(self) -> str:
        return self.name


class Queue(models.Model):
    """A line that customers come in by, such as claims by phone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="queues")
    name = models.CharField(max_length=200)
    slug = models.SlugField(unique=True)
    holds_health_data = models.BooleanField(default=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Purpose(models.Model):
    """What a conversation may be used for (GDPR Art. 5(1)(b)), such as coaching."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    code = models.SlugField(unique=True)
    name_fi = models.CharField(max_length=200)
    name_sv = models.CharField(max_length=200)
    name_en = models.CharField(max_length=200)

    class Meta:
        ordering = ["code"]

    def __str__(self) -> str:
        return str(getattr(self, f"name_{(get_language() or 'fi')[:2]}", self.name_en))


class Source(models.Model):
    """A phone or chat system that is entitled to have its conversations captured."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=200)
    controller = models.ForeignKey(Controller, on_delete=models.PROTECT, related_name="sources")
    default_team = models.ForeignKey(
        Team,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="+",
        help_text="Where a conversation goes whose format names no team; without it, nobody's.",
    )
    released_at = models.DateTimeField(
        null=True, blank=True, help_text="Until then purge runs only say what they would destroy."
    )

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
