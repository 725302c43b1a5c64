"""What of the ledger of destructions a database has taken account of."""

import django.contrib.postgres.fields
from django.db import migrations, models


# Replaying closes what the rows contradict; opening what is closed is no deed of the purge.
GUARD_CLOSED = """
CREATE FUNCTION retention_guard_closed() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF session_user = 'tallenne_purge' THEN
        RAISE EXCEPTION 'What is closed is opened by a person only.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER conversation_guard_closed BEFORE UPDATE ON recordings_conversation
    FOR EACH ROW WHEN (
        OLD.closed_at IS NOT NULL AND NEW.closed_at IS DISTINCT FROM OLD.closed_at)
    EXECUTE FUNCTION retention_guard_closed();
"""

UNGUARD_CLOSED = """
DROP TRIGGER conversation_guard_closed ON recordings_conversation;
DROP FUNCTION retention_guard_closed();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('retention', '0009_matters_in_full'),
    ]

    operations = [
        migrations.CreateModel(
            name='LedgerEntry',
            fields=[
                ('key', models.CharField(max_length=300, primary_key=True, serialize=False)),
                ('noted_at', models.DateTimeField()),
                ('contradicted', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), default=list, size=None)),
            ],
        ),
        migrations.RunSQL(GUARD_CLOSED, UNGUARD_CLOSED),
    ]
