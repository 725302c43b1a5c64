"""Adds when conversations without a rule and quarantined items end."""

from django.db import migrations, models


# What waits ends through the purge only; what is left of it does not come to life again.
GUARD_QUARANTINE = """
CREATE TRIGGER quarantineditem_refuse_delete BEFORE DELETE ON recordings_quarantineditem
    FOR EACH ROW EXECUTE FUNCTION recordings_refuse();
CREATE TRIGGER quarantineditem_refuse_truncate BEFORE TRUNCATE ON recordings_quarantineditem
    FOR EACH STATEMENT EXECUTE FUNCTION recordings_refuse();
CREATE TRIGGER quarantineditem_refuse_change BEFORE UPDATE ON recordings_quarantineditem
    FOR EACH ROW WHEN (OLD.destroyed_at IS NOT NULL
        OR (OLD.key_destroyed_at IS NOT NULL AND NEW.key_destroyed_at IS NULL))
    EXECUTE FUNCTION recordings_refuse();
"""
UNGUARD_QUARANTINE = """
DROP TRIGGER quarantineditem_refuse_change ON recordings_quarantineditem;
DROP TRIGGER quarantineditem_refuse_truncate ON recordings_quarantineditem;
DROP TRIGGER quarantineditem_refuse_delete ON recordings_quarantineditem;
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('recordings', '0005_keks'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='quarantineditem',
            name='quarantined_once',
        ),
        migrations.AddField(
            model_name='conversation',
            name='uncovered_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='quarantineditem',
            name='destroyed_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='quarantineditem',
            name='key_destroyed_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='quarantineditem',
            name='reason',
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.AlterField(
            model_name='quarantineditem',
            name='wrapped_key',
            field=models.BinaryField(null=True),
        ),
        migrations.AddIndex(
            model_name='conversation',
            index=models.Index(condition=models.Q(('uncovered_at__isnull', False)), fields=['controller', 'destroy_after'], name='conversation_uncovered'),
        ),
        migrations.AddIndex(
            model_name='quarantineditem',
            index=models.Index(condition=models.Q(('key_destroyed_at', None)), fields=['controller', 'decide_before'], name='quarantined_by_deadline'),
        ),
        migrations.AddConstraint(
            model_name='conversation',
            constraint=models.CheckConstraint(condition=models.Q(('uncovered_at', None), ('destroy_after__isnull', False), _connector='OR'), name='conversation_uncovered_until_a_time'),
        ),
        migrations.AddConstraint(
            model_name='quarantineditem',
            constraint=models.UniqueConstraint(condition=models.Q(('key_destroyed_at', None)), fields=('source', 'content_hash', 'reason'), name='quarantined_once'),
        ),
        migrations.AddConstraint(
            model_name='quarantineditem',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('key_destroyed_at', None), ('wrapped_key__isnull', False)), models.Q(('key_destroyed_at__isnull', False), ('wrapped_key', None)), _connector='OR'), name='quarantined_key_gone_iff_destroyed_at'),
        ),
        migrations.AddConstraint(
            model_name='quarantineditem',
            constraint=models.CheckConstraint(condition=models.Q(('destroyed_at', None), ('key_destroyed_at__isnull', False), _connector='OR'), name='quarantined_destroyed_after_its_key'),
        ),
        migrations.RunSQL(GUARD_QUARANTINE, UNGUARD_QUARANTINE),
    ]
