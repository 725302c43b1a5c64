"""What makes the log provable: leaves, nodes, checkpoints; only ever added to, by the sealer."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class Origin(models.Model):
    """
    The name under which a log's checkpoints are signed, from a size of its tree on.

    A log has one for its life, and another each time its database was restored from a backup:
    `continues` is then the last anchored checkpoint of the one before.
    """

    pk = models.CompositePrimaryKey("log", "number")
    log = models.TextField()
    number = models.SmallIntegerField()
    origin = models.TextField()
    from_size = models.BigIntegerField()
    continues = models.TextField(null=True)
    started_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "audit_origin"
        verbose_name = _("origin")

    def __str__(self) -> str:
        return self.origin


class Leaf(models.Model):
    """A sealed event's place in its log's tree, and the hash of its body (RFC 9162)."""

    pk = models.CompositePrimaryKey("log", "leaf_index")
    log = models.TextField()
    leaf_index = models.BigIntegerField()
    event = models.BigIntegerField()
    about_conversation = models.BooleanField()
    month = models.DateField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        managed = False
        db_table = "audit_leaf"
        verbose_name = _("leaf")

    def __str__(self) -> str:
        return f"{self.log} {self.leaf_index}"


class Node(models.Model):
    """The root of a full subtree of 2^level leaves."""

    pk = models.CompositePrimaryKey("log", "level", "node_index")
    log = models.TextField()
    level = models.SmallIntegerField()
    node_index = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)

    class Meta:
        managed = False
        db_table = "audit_node"
        verbose_name = _("node")

    def __str__(self) -> str:
        return f"{self.log} {self.level} {self.node_index}"


class Checkpoint(models.Model):
    """The signed head of a log at one size of its tree."""

    pk = models.CompositePrimaryKey("log", "size")
    log = models.TextField()
    size = models.BigIntegerField()
    origin = models.TextField()
    root = models.BinaryField(max_length=32)
    note = models.TextField()
    fingerprint = models.TextField()  # of the key that signed it
    sealed_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "audit_checkpoint"
        verbose_name = _("checkpoint")

    def __str__(self) -> str:
        return f"{self.log} {self.size}"


class Anchor(models.Model):
    """A checkpoint that was put, locked, outside the database."""

    pk = models.CompositePrimaryKey("log", "size")
    log = models.TextField()
    size = models.BigIntegerField()
    key = models.TextField()
    anchored_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "audit_anchor"
        verbose_name = _("anchor")

    def __str__(self) -> str:
        return self.key


class SealingKey(models.Model):
    """A public key whose private half signs, or signed, checkpoints."""

    fingerprint = models.TextField(primary_key=True)
    public_key = models.BinaryField(max_length=32)
    introduced_at = models.DateTimeField()
    number = models.SmallIntegerField()

    class Meta:
        managed = False
        db_table = "audit_sealing_key"
        verbose_name = _("sealing key")

    def __str__(self) -> str:
        return self.fingerprint
