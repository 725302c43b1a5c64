"""When something was wrapped anew out of a key-encryption key, and which were destroyed."""

import uuid_utils.compat
from django.db import migrations, models


# SECURITY DEFINER: whoever wraps a key anew need not be able to write of it. Nobody waits for anybody:
# two at once may both write a row of the day.
NOTE_REWRAPS = """
CREATE FUNCTION recordings_note_rewrap() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    today date := (public.audit_now() AT TIME ZONE 'UTC')::date;
BEGIN
    IF NOT EXISTS (SELECT FROM public.recordings_rewrap
                   WHERE kek_name = OLD.kek_name AND day >= today) THEN
        INSERT INTO public.recordings_rewrap (kek_name, day) VALUES (OLD.kek_name, today);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER conversation_note_rewrap AFTER UPDATE OF kek_name ON recordings_conversation
    FOR EACH ROW WHEN (
        OLD.kek_name <> NEW.kek_name AND NEW.wrapped_key IS NOT NULL
        AND OLD.kek_name NOT LIKE '%/open')
    EXECUTE FUNCTION recordings_note_rewrap();
"""

FORGET_REWRAPS = """
DROP TRIGGER conversation_note_rewrap ON recordings_conversation;
DROP FUNCTION recordings_note_rewrap();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('recordings', '0004_outcome_and_references'),
        ('audit', '0001_events'),
    ]

    operations = [
        migrations.CreateModel(
            name='DestroyedKek',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kek_name', models.CharField(max_length=100)),
                ('destroyed_at', models.DateTimeField()),
                ('last_copy_lapses_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Rewrap',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('kek_name', models.CharField(max_length=100)),
                ('day', models.DateField()),
            ],
            options={
                'indexes': [models.Index(fields=['kek_name', 'day'], name='rewrap_by_kek')],
            },
        ),
        migrations.RunSQL(NOTE_REWRAPS, FORGET_REWRAPS),
    ]
