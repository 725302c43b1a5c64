"""What is certified does not change, and goes with what it certifies when its term is past."""

from django.db import migrations

# SECURITY DEFINER: the guards ask of tables that the role at work may not read.
_DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"

GUARD_CERTIFICATES = f"""
CREATE FUNCTION retention_certificate_guard() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.keep_until > statement_timestamp() THEN
            RAISE EXCEPTION 'A certificate is kept until its term is past.'
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN OLD;
    END IF;
    IF OLD.seal IS NOT NULL
       OR to_jsonb(NEW) - '{{seal,sealed_at}}'::text[]
            <> to_jsonb(OLD) - '{{seal,sealed_at}}'::text[] THEN
        RAISE EXCEPTION 'A certificate is sealed once, and otherwise does not change.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER certificate_guard BEFORE UPDATE OR DELETE ON retention_certificate
    FOR EACH ROW EXECUTE FUNCTION retention_certificate_guard();
CREATE TRIGGER certificate_refuse_truncate BEFORE TRUNCATE ON retention_certificate
    FOR EACH STATEMENT EXECUTE FUNCTION retention_refuse();
"""

UNGUARD_CERTIFICATES = """
DROP TRIGGER certificate_refuse_truncate ON retention_certificate;
DROP TRIGGER certificate_guard ON retention_certificate;
DROP FUNCTION retention_certificate_guard();
"""

GUARD_PROOF = f"""
CREATE OR REPLACE FUNCTION retention_destruction_guard() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF NEW.conversation_id <> OLD.conversation_id
       OR OLD.certificate_id IS NOT NULL
       OR (OLD.concluded_at IS NOT NULL
           AND to_jsonb(NEW) - '{{certificate_id,leaf_index,line}}'::text[]
            <> to_jsonb(OLD) - '{{certificate_id,leaf_index,line}}'::text[]) THEN
        RAISE EXCEPTION 'The proof of a destruction does not change.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

-- A conversation's proof goes when the certificate that has it is past its term; attempts that a
-- hold recalled go before it.
CREATE FUNCTION retention_destruction_guard_delete() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM public.retention_destruction d
        JOIN public.retention_certificate c ON c.id = d.certificate_id
        WHERE d.conversation_id = OLD.conversation_id AND c.keep_until <= statement_timestamp()
    ) THEN
        RAISE EXCEPTION 'The proof of a destruction is kept until its term is past.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;
DROP TRIGGER destruction_refuse_delete ON retention_destruction;
CREATE TRIGGER destruction_guard_delete BEFORE DELETE ON retention_destruction
    FOR EACH ROW EXECUTE FUNCTION retention_destruction_guard_delete();
"""

UNGUARD_PROOF = f"""
DROP TRIGGER destruction_guard_delete ON retention_destruction;
DROP FUNCTION retention_destruction_guard_delete();
CREATE TRIGGER destruction_refuse_delete BEFORE DELETE ON retention_destruction
    FOR EACH ROW EXECUTE FUNCTION retention_refuse();
CREATE OR REPLACE FUNCTION retention_destruction_guard() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF OLD.concluded_at IS NOT NULL OR NEW.conversation_id <> OLD.conversation_id THEN
        RAISE EXCEPTION 'The proof of a destruction does not change.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""

# A residual record and the holds that once stood go after its proof, which has gone past its term.
GUARD_RESIDUAL = f"""
CREATE FUNCTION retention_guard_residual() RETURNS trigger {_DEFINER} AS $$
DECLARE
    conversation uuid := CASE TG_TABLE_NAME
        WHEN 'recordings_conversation' THEN OLD.id
        ELSE (to_jsonb(OLD) ->> 'conversation_id')::uuid END;
BEGIN
    IF NOT EXISTS (SELECT FROM public.recordings_conversation
                   WHERE id = conversation AND state = 'destroyed')
       OR EXISTS (SELECT FROM public.retention_destruction
                  WHERE conversation_id = conversation) THEN
        RAISE EXCEPTION '% on % is refused: conversations end through a purge run only, and what '
            'is left of them when its term is past.', TG_OP, TG_TABLE_NAME
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END $$;
DROP TRIGGER conversation_refuse_delete ON recordings_conversation;
CREATE TRIGGER conversation_guard_delete BEFORE DELETE ON recordings_conversation
    FOR EACH ROW EXECUTE FUNCTION retention_guard_residual();
DROP TRIGGER hold_refuse_delete ON retention_hold;
CREATE TRIGGER hold_guard_delete BEFORE DELETE ON retention_hold
    FOR EACH ROW EXECUTE FUNCTION retention_guard_residual();
"""

UNGUARD_RESIDUAL = """
DROP TRIGGER hold_guard_delete ON retention_hold;
CREATE TRIGGER hold_refuse_delete BEFORE DELETE ON retention_hold
    FOR EACH ROW EXECUTE FUNCTION retention_refuse();
DROP TRIGGER conversation_guard_delete ON recordings_conversation;
CREATE TRIGGER conversation_refuse_delete BEFORE DELETE ON recordings_conversation
    FOR EACH ROW EXECUTE FUNCTION recordings_refuse();
DROP FUNCTION retention_guard_residual();
"""


class Migration(migrations.Migration):
    dependencies = [
        ("retention", "0003_certificates"),
        ("recordings", "0003_links_end"),
    ]

    operations = [
        migrations.RunSQL(GUARD_CERTIFICATES, UNGUARD_CERTIFICATES),
        migrations.RunSQL(GUARD_PROOF, UNGUARD_PROOF),
        migrations.RunSQL(GUARD_RESIDUAL, UNGUARD_RESIDUAL),
    ]
