"""Held is untouchable: the database refuses to withdraw, unkey or forget what a hold protects."""

from django.db import migrations

# SECURITY DEFINER: the guards ask of tables that the role at work may not read.
_DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"

GUARD_HELD = f"""
CREATE FUNCTION retention_active_holds(conversation uuid) RETURNS bigint
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM public.retention_hold
    WHERE conversation_id = conversation AND lifted_at IS NULL
$$;

-- Volatile, so that each question sees what was committed while this statement waited for a lock.
CREATE FUNCTION retention_guard_held() RETURNS trigger {_DEFINER} AS $$
DECLARE
    holds bigint := public.retention_active_holds(OLD.id);
BEGIN
    IF holds > 0 AND (
        NEW.state <> 'kept' OR NEW.hold_count < holds
        OR NEW.wrapped_key IS DISTINCT FROM OLD.wrapped_key OR NEW.kek_name <> OLD.kek_name
    ) THEN
        RAISE EXCEPTION 'The conversation is held.' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER conversation_guard_held BEFORE UPDATE ON recordings_conversation
    FOR EACH ROW WHEN (
        NEW.state <> 'kept' OR NEW.hold_count < OLD.hold_count
        OR NEW.wrapped_key IS DISTINCT FROM OLD.wrapped_key OR NEW.kek_name <> OLD.kek_name)
    EXECUTE FUNCTION retention_guard_held();

-- A hold locks the row that withdrawing locks, also one that plain SQL inserts.
CREATE FUNCTION retention_hold_guard_insert() RETURNS trigger {_DEFINER} AS $$
DECLARE
    found_state text;
BEGIN
    SELECT state INTO found_state FROM public.recordings_conversation
        WHERE id = NEW.conversation_id FOR UPDATE;
    IF found_state IS DISTINCT FROM 'kept' AND NEW.lifted_at IS NULL THEN
        RAISE EXCEPTION 'Only what is kept can be held.' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hold_guard_insert BEFORE INSERT ON retention_hold
    FOR EACH ROW EXECUTE FUNCTION retention_hold_guard_insert();

CREATE FUNCTION retention_hold_guard_update() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF (NEW.id, NEW.matter_id, NEW.conversation_id, NEW.placed_at)
        IS DISTINCT FROM (OLD.id, OLD.matter_id, OLD.conversation_id, OLD.placed_at)
       OR (OLD.lifted_at IS NOT NULL AND NEW.lifted_at IS DISTINCT FROM OLD.lifted_at) THEN
        RAISE EXCEPTION 'A hold is lifted, and otherwise does not change.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hold_guard_update BEFORE UPDATE ON retention_hold
    FOR EACH ROW EXECUTE FUNCTION retention_hold_guard_update();

CREATE FUNCTION retention_refuse() RETURNS trigger {_DEFINER} AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: it is evidence.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER hold_refuse_delete BEFORE DELETE ON retention_hold
    FOR EACH ROW EXECUTE FUNCTION retention_refuse();
CREATE TRIGGER hold_refuse_truncate BEFORE TRUNCATE ON retention_hold
    FOR EACH STATEMENT EXECUTE FUNCTION retention_refuse();

-- At commit the count that `due` goes by and the holds that there are must agree.
CREATE FUNCTION retention_hold_guard_count() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF EXISTS (SELECT FROM public.recordings_conversation
               WHERE id = NEW.conversation_id
                 AND hold_count <> public.retention_active_holds(id)) THEN
        RAISE EXCEPTION 'A hold is counted on its conversation: place it through the operation.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    -- Lifting is a deed of somebody and an event of the same transaction, or it is not at all.
    IF TG_OP = 'UPDATE' AND OLD.lifted_at IS NULL AND NEW.lifted_at IS NOT NULL AND (
        NEW.lifted_by_id IS NULL OR NOT EXISTS (
            SELECT FROM public.audit_event
            WHERE conversation = NEW.conversation_id AND event_type = 'hold.lifted'
              AND recorded_at >= transaction_timestamp()
              AND month >= date_trunc('month', transaction_timestamp() AT TIME ZONE 'UTC')::date
        )) THEN
        RAISE EXCEPTION 'A hold is lifted by somebody, and logged: use the operation.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER hold_guard_count AFTER INSERT OR UPDATE OF lifted_at ON retention_hold
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION retention_hold_guard_count();
"""

UNGUARD_HELD = """
DROP TRIGGER hold_guard_count ON retention_hold;
DROP FUNCTION retention_hold_guard_count();
DROP TRIGGER hold_refuse_truncate ON retention_hold;
DROP TRIGGER hold_refuse_delete ON retention_hold;
DROP TRIGGER hold_guard_update ON retention_hold;
DROP FUNCTION retention_hold_guard_update();
DROP TRIGGER hold_guard_insert ON retention_hold;
DROP FUNCTION retention_hold_guard_insert();
DROP TRIGGER conversation_guard_held ON recordings_conversation;
DROP FUNCTION retention_guard_held();
DROP FUNCTION retention_active_holds(uuid);
"""

GUARD_PROOF = f"""
CREATE FUNCTION retention_destruction_guard() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF OLD.concluded_at IS NOT NULL OR NEW.conversation_id <> OLD.conversation_id THEN
        RAISE EXCEPTION 'The proof of a destruction does not change.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER destruction_guard_update BEFORE UPDATE ON retention_destruction
    FOR EACH ROW EXECUTE FUNCTION retention_destruction_guard();
CREATE TRIGGER destruction_refuse_delete BEFORE DELETE ON retention_destruction
    FOR EACH ROW EXECUTE FUNCTION retention_refuse();
CREATE TRIGGER destruction_refuse_truncate BEFORE TRUNCATE ON retention_destruction
    FOR EACH STATEMENT EXECUTE FUNCTION retention_refuse();

-- Fencing: who claims later holds the larger number.
CREATE SEQUENCE retention_lease_token AS bigint;
"""

UNGUARD_PROOF = """
DROP SEQUENCE retention_lease_token;
DROP TRIGGER destruction_refuse_truncate ON retention_destruction;
DROP TRIGGER destruction_refuse_delete ON retention_destruction;
DROP TRIGGER destruction_guard_update ON retention_destruction;
DROP FUNCTION retention_destruction_guard();
DROP FUNCTION retention_refuse();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("retention", "0001_initial"),
        ("recordings", "0002_guards"),
        ("audit", "0001_events"),
    ]

    operations = [
        migrations.RunSQL(GUARD_HELD, UNGUARD_HELD),
        migrations.RunSQL(GUARD_PROOF, UNGUARD_PROOF),
    ]
