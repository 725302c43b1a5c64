"""The database itself refuses what nobody may do to conversations, by whatever path it comes."""

from django.db import migrations

# Rows of these go only with their conversation's content, never before.
_PARTS = {
    "recordings_dialog": "OLD.conversation_id",
    "recordings_storedobject": "OLD.conversation_id",
    "recordings_party": "OLD.conversation_id",
    "recordings_segment": "OLD.conversation_id",
    "recordings_rendition": (
        "(SELECT conversation_id FROM public.recordings_dialog WHERE id = OLD.dialog_id)"
    ),
}

# What says where the bytes lie, or is content itself, never changes while it is kept. Emptying
# what was sealed under a destroyed key is what a purge does to a withdrawn one.
_UNCHANGING = {
    "recordings_dialog": ["conversation_id", "stored_object_id", "content_hash", "sealed_name"],
    "recordings_storedobject": [
        *("conversation_id", "key", "version_id", "ciphertext_sha256", "stream_header"),
    ],
    "recordings_rendition": ["dialog_id", "stored_object_id", "sealed_body"],
    "recordings_party": ["conversation_id", "sealed_details"],
    "recordings_segment": ["conversation_id"],
}

# SECURITY DEFINER: the guards ask of tables that the role at work may not read.
_DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"

REFUSE = f"""
CREATE FUNCTION recordings_refuse() RETURNS trigger {_DEFINER} AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: conversations end through a purge run only.',
        TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER conversation_refuse_delete BEFORE DELETE ON recordings_conversation
    FOR EACH ROW EXECUTE FUNCTION recordings_refuse();
CREATE TRIGGER conversation_refuse_truncate BEFORE TRUNCATE ON recordings_conversation
    FOR EACH STATEMENT EXECUTE FUNCTION recordings_refuse();
"""

GUARD_STATES = f"""
CREATE FUNCTION recordings_guard_conversation() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF OLD.state = 'destroyed' THEN
        RAISE EXCEPTION 'What is left of a destroyed conversation does not change.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF OLD.state = 'kept' AND NEW.state = 'destroyed' THEN
        RAISE EXCEPTION 'A conversation is withdrawn before it is destroyed.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.id, NEW.controller_id, NEW.source_id, NEW.external_id_hash, NEW.content_hash)
        IS DISTINCT FROM
       (OLD.id, OLD.controller_id, OLD.source_id, OLD.external_id_hash, OLD.content_hash) THEN
        RAISE EXCEPTION 'What a conversation is known by does not change.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    -- A key is wrapped anew under another name, or destroyed by a purge: anything else loses content.
    IF NEW.wrapped_key IS DISTINCT FROM OLD.wrapped_key AND NEW.wrapped_key IS NOT NULL
       AND (NEW.kek_name = OLD.kek_name
            OR octet_length(NEW.wrapped_key) IS DISTINCT FROM octet_length(OLD.wrapped_key)) THEN
        RAISE EXCEPTION 'A content key is wrapped anew under another key, and not replaced.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER conversation_guard_states BEFORE UPDATE ON recordings_conversation
    FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)
    EXECUTE FUNCTION recordings_guard_conversation();
"""


def _guard_parts(table: str) -> str:
    conversation = _PARTS[table]
    before = ", ".join(f"OLD.{column}" for column in _UNCHANGING[table])
    after = ", ".join(f"NEW.{column}" for column in _UNCHANGING[table])
    return f"""
CREATE FUNCTION {table}_guard() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF EXISTS (SELECT FROM public.recordings_conversation
               WHERE id = {conversation} AND state = 'kept') THEN
        RAISE EXCEPTION '% on % is refused: the conversation is kept.', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER {table}_guard_delete BEFORE DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION {table}_guard();
CREATE TRIGGER {table}_guard_update BEFORE UPDATE ON {table}
    FOR EACH ROW WHEN (ROW({before}) IS DISTINCT FROM ROW({after}))
    EXECUTE FUNCTION {table}_guard();
CREATE TRIGGER {table}_refuse_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION recordings_refuse();
"""


def _unguard(table: str) -> str:
    return f"""
DROP TRIGGER {table}_refuse_truncate ON {table};
DROP TRIGGER {table}_guard_update ON {table};
DROP TRIGGER {table}_guard_delete ON {table};
DROP FUNCTION {table}_guard();
"""


# What rules permit is written by the worker that covers conversations. The web writes what a matter
# permits, and nothing else: whoever took it over could otherwise open or end everything by SQL. The
# purge takes away the uses of what it has withdrawn.
GUARD_USES = f"""
CREATE FUNCTION recordings_permitteduse_guard() RETURNS trigger {_DEFINER} AS $$
DECLARE
    changed public.recordings_permitteduse;
BEGIN
    IF TG_OP = 'INSERT' THEN changed := NEW; ELSE changed := OLD; END IF;
    IF session_user = 'tallenne_web' AND (changed.authority_kind <> 'matter'
            OR (TG_OP = 'UPDATE' AND NEW.authority_kind <> 'matter')) THEN
        RAISE EXCEPTION 'What rules permit is written by the worker only.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF session_user = 'tallenne_purge' AND EXISTS (
            SELECT FROM public.recordings_conversation
            WHERE id = changed.conversation_id AND state = 'kept') THEN
        RAISE EXCEPTION 'The conversation is kept.' USING ERRCODE = 'restrict_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER permitteduse_guard BEFORE INSERT OR UPDATE OR DELETE ON recordings_permitteduse
    FOR EACH ROW EXECUTE FUNCTION recordings_permitteduse_guard();
"""


class Migration(migrations.Migration):
    dependencies = [("recordings", "0001_initial")]

    operations = [
        migrations.RunSQL(
            REFUSE,
            """
            DROP TRIGGER conversation_refuse_truncate ON recordings_conversation;
            DROP TRIGGER conversation_refuse_delete ON recordings_conversation;
            DROP FUNCTION recordings_refuse();
            """,
        ),
        migrations.RunSQL(
            GUARD_STATES,
            """
            DROP TRIGGER conversation_guard_states ON recordings_conversation;
            DROP FUNCTION recordings_guard_conversation();
            """,
        ),
        migrations.RunSQL(
            GUARD_USES,
            """
            DROP TRIGGER permitteduse_guard ON recordings_permitteduse;
            DROP FUNCTION recordings_permitteduse_guard();
            """,
        ),
        *(migrations.RunSQL(_guard_parts(table), _unguard(table)) for table in _PARTS),
    ]
