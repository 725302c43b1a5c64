"""What is left of a conversation forgets whose continuation it was, when that one's record goes."""

from django.db import migrations

FORGETTING = """
CREATE OR REPLACE TRIGGER conversation_guard_states BEFORE UPDATE ON recordings_conversation
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.* AND NOT (
        OLD.state = 'destroyed' AND NEW.linked_to_id IS NULL
        AND to_jsonb(NEW) - 'linked_to_id' = to_jsonb(OLD) - 'linked_to_id'))
    EXECUTE FUNCTION recordings_guard_conversation();
"""

KEEPING = """
CREATE OR REPLACE TRIGGER conversation_guard_states BEFORE UPDATE ON recordings_conversation
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION recordings_guard_conversation();
"""


class Migration(migrations.Migration):
    dependencies = [("recordings", "0002_guards")]

    operations = [migrations.RunSQL(FORGETTING, KEEPING)]
