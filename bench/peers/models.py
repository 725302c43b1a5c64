"""The one model whose updates are audited, with eight fields as a business row has them."""

from django.db import models


class Claim(models.Model):
    """A row that is saved over and over."""

    name = models.CharField(max_length=100)
    status = models.CharField(max_length=20)
    amount = models.IntegerField()
    note = models.TextField()
    is_open = models.BooleanField(default=True)
    opened_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    owner = models.UUIDField()

    def __str__(self) -> str:
        return self.name
