"""Adds how long each log is kept, holds on logs, and cuts: the only way an event is deleted."""

from django.db import migrations, models

TABLES = r"""
CREATE TABLE audit_log_term (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    log text COLLATE "C" NOT NULL,
    months smallint NOT NULL,
    legal_reason text NOT NULL DEFAULT '',
    set_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    set_by uuid NOT NULL,
    CONSTRAINT audit_log_term_is_6_to_600_months CHECK (months BETWEEN 6 AND 600),
    CONSTRAINT audit_log_term_beyond_36_has_a_reason CHECK (
        months <= 36 OR btrim(legal_reason) <> '')
);
CREATE INDEX audit_log_term_newest ON audit_log_term (log, id);

CREATE TABLE audit_log_hold (
    id uuid PRIMARY KEY,
    log text COLLATE "C" NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT statement_timestamp(),
    placed_by uuid NOT NULL,
    lifted_at timestamptz,
    lifted_by uuid,
    CONSTRAINT audit_log_hold_is_lifted_by_somebody CHECK (
        (lifted_at IS NULL) = (lifted_by IS NULL))
);
CREATE INDEX audit_log_hold_in_force ON audit_log_hold (log) WHERE lifted_at IS NULL;

CREATE TABLE audit_cut (
    id uuid PRIMARY KEY,
    log text COLLATE "C" NOT NULL,
    about_conversation boolean NOT NULL,
    until_month date NOT NULL,
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    proposed_by uuid NOT NULL,
    -- Found by audit_guard_cut, whatever was given.
    events bigint NOT NULL,
    leaves int8multirange NOT NULL,
    first_leaf bigint NOT NULL,
    last_leaf bigint NOT NULL,
    proposed_at timestamptz NOT NULL,
    agreed_by uuid,
    agreed_at timestamptz,
    replaced_at timestamptz,
    done_at timestamptz,
    -- The one transaction in which audit_refuse_delete lets the leaves' events go.
    transaction xid8,
    CONSTRAINT audit_cut_until_is_a_month CHECK (
        until_month = date_trunc('month', until_month::timestamp)::date),
    CONSTRAINT audit_cut_agreed_by_another CHECK (agreed_by <> proposed_by),
    CONSTRAINT audit_cut_agreed_by_somebody CHECK ((agreed_at IS NULL) = (agreed_by IS NULL)),
    CONSTRAINT audit_cut_done_after_agreed CHECK (done_at IS NULL OR agreed_at IS NOT NULL),
    CONSTRAINT audit_cut_done_or_replaced CHECK (done_at IS NULL OR replaced_at IS NULL)
);
CREATE UNIQUE INDEX audit_cut_one_is_open ON audit_cut (log, about_conversation)
    WHERE done_at IS NULL AND replaced_at IS NULL;
"""

RULES = r"""
CREATE FUNCTION audit_term(wanted_log text) RETURNS int
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce((SELECT months::int FROM public.audit_log_term
        WHERE log = wanted_log ORDER BY id DESC LIMIT 1), 24)
$$;

-- Terms, holds and cuts of one log wait for each other: a hold is in force, or the cut is done.
CREATE FUNCTION audit_alone_with_log(wanted_log text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_advisory_xact_lock(hashtext('audit_cut'), hashtext(wanted_log))
$$;

-- Which events may go, as of an instant. Rows, not whole partitions: one conversation that is kept
-- for long would otherwise keep everybody's events of its months.
CREATE FUNCTION audit_cuttable(
    wanted_log text, about boolean, wanted_until date, as_of timestamptz)
RETURNS TABLE (event bigint, leaf_index bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT e.id, l.leaf_index
    FROM public.audit_event e LEFT JOIN public.audit_leaf l ON l.event = e.id
    WHERE e.log = wanted_log AND e.about_conversation = about AND e.month < wanted_until
        AND (NOT about OR (
            EXISTS (
                SELECT FROM public.audit_event d
                WHERE d.conversation = e.conversation AND d.log = wanted_log
                    AND d.about_conversation AND d.event_type = 'conversation.destroyed'
                    AND d.outcome = 'allow'
                    AND d.recorded_at + make_interval(months => public.audit_term(wanted_log))
                        <= as_of)
            -- The destruction goes last: without it nobody knows that the rest may go.
            AND (e.event_type <> 'conversation.destroyed' OR NOT EXISTS (
                SELECT FROM public.audit_event o
                WHERE o.conversation = e.conversation AND o.log = wanted_log
                    AND o.about_conversation AND o.month >= wanted_until))))
$$;

CREATE FUNCTION audit_refuse_cut(rule text, sentence text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RAISE EXCEPTION '%', sentence USING ERRCODE = 'check_violation', CONSTRAINT = rule;
END $$;

-- Everything that must hold of what is cut; gives its leaves.
CREATE FUNCTION audit_checked_leaves(
    wanted_log text, about boolean, wanted_until date, as_of timestamptz)
RETURNS int8multirange
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    leaves int8multirange;
    unsealed bigint;
BEGIN
    IF EXISTS (SELECT FROM public.audit_log_hold h
            WHERE h.log = wanted_log AND h.lifted_at IS NULL) THEN
        PERFORM public.audit_refuse_cut('audit_cut_held', 'The log is held.');
    END IF;
    IF (wanted_until + make_interval(months => public.audit_term(wanted_log)))
            AT TIME ZONE 'UTC' > as_of THEN
        PERFORM public.audit_refuse_cut('audit_cut_too_young', 'The term is not past.');
    END IF;
    SELECT range_agg(int8range(c.leaf_index, c.leaf_index + 1))
            FILTER (WHERE c.leaf_index IS NOT NULL),
        count(*) FILTER (WHERE c.leaf_index IS NULL)
        INTO leaves, unsealed
        FROM public.audit_cuttable(wanted_log, about, wanted_until, as_of) c;
    IF unsealed > 0 THEN
        PERFORM public.audit_refuse_cut('audit_cut_unsealed', 'Events are not sealed.');
    END IF;
    IF leaves IS NULL THEN
        PERFORM public.audit_refuse_cut('audit_cut_empty', 'There is nothing to cut.');
    END IF;
    IF NOT EXISTS (SELECT FROM public.audit_anchor a
            WHERE a.log = wanted_log AND a.size >= upper(leaves)) THEN
        PERFORM public.audit_refuse_cut('audit_cut_unanchored', 'Events are not anchored.');
    END IF;
    RETURN leaves;
END $$;

CREATE FUNCTION audit_leaves_counted(leaves int8multirange) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(sum(upper(each) - lower(each)), 0)::bigint FROM unnest(leaves) AS each
$$;
"""

GUARDS = r"""
CREATE FUNCTION audit_guard_term() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.audit_alone_with_log(NEW.log);
    NEW.set_at := statement_timestamp();
    RETURN NEW;
END $$;
CREATE TRIGGER audit_log_term_guard BEFORE INSERT ON audit_log_term
    FOR EACH ROW EXECUTE FUNCTION audit_guard_term();
CREATE TRIGGER audit_log_term_refuse_change BEFORE UPDATE OR DELETE ON audit_log_term
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();

CREATE FUNCTION audit_guard_hold() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM public.audit_alone_with_log(NEW.log);
    IF TG_OP = 'INSERT' THEN
        NEW.placed_at := statement_timestamp();
        NEW.lifted_at := NULL;
        NEW.lifted_by := NULL;
    ELSIF OLD.lifted_by IS NOT NULL OR NEW.lifted_by IS NULL
            OR (NEW.id, NEW.log, NEW.placed_at, NEW.placed_by)
                <> (OLD.id, OLD.log, OLD.placed_at, OLD.placed_by) THEN
        RAISE EXCEPTION 'A hold on a log can be lifted, once, and nothing else.'
            USING ERRCODE = 'insufficient_privilege';
    ELSE
        NEW.lifted_at := statement_timestamp();
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_log_hold_guard BEFORE INSERT OR UPDATE ON audit_log_hold
    FOR EACH ROW EXECUTE FUNCTION audit_guard_hold();
CREATE TRIGGER audit_log_hold_refuse_change BEFORE DELETE ON audit_log_hold
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();

CREATE FUNCTION audit_guard_cut() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM public.audit_alone_with_log(NEW.log);
        NEW.proposed_at := statement_timestamp();
        NEW.agreed_by := NULL;
        NEW.agreed_at := NULL;
        NEW.replaced_at := NULL;
        NEW.done_at := NULL;
        NEW.transaction := NULL;
        NEW.leaves := public.audit_checked_leaves(
            NEW.log, NEW.about_conversation, NEW.until_month, NEW.proposed_at);
        NEW.events := public.audit_leaves_counted(NEW.leaves);
        NEW.first_leaf := lower(NEW.leaves);
        NEW.last_leaf := upper(NEW.leaves) - 1;
        RETURN NEW;
    END IF;
    IF (NEW.id, NEW.log, NEW.about_conversation, NEW.until_month, NEW.root, NEW.proposed_by,
            NEW.events, NEW.leaves, NEW.first_leaf, NEW.last_leaf, NEW.proposed_at)
        <> (OLD.id, OLD.log, OLD.about_conversation, OLD.until_month, OLD.root, OLD.proposed_by,
            OLD.events, OLD.leaves, OLD.first_leaf, OLD.last_leaf, OLD.proposed_at)
        OR OLD.done_at IS NOT NULL OR OLD.replaced_at IS NOT NULL
        OR (OLD.agreed_by IS NOT NULL AND NEW.agreed_by IS DISTINCT FROM OLD.agreed_by) THEN
        RAISE EXCEPTION 'What was proposed is not changed: it is agreed to, replaced, or done.'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF (NEW.done_at IS NULL) <> (NEW.transaction IS NULL) THEN
        RAISE EXCEPTION 'What was proposed is not changed: it is agreed to, replaced, or done.'
            USING ERRCODE = 'insufficient_privilege';
    ELSIF NEW.transaction IS NOT NULL THEN
        -- Here, and not only in audit_do_cut: no other way leads to a deletion either.
        PERFORM public.audit_alone_with_log(NEW.log);
        IF OLD.agreed_by IS NULL OR OLD.agreed_by = OLD.proposed_by THEN
            PERFORM public.audit_refuse_cut('audit_cut_not_agreed', 'No second person agreed.');
        END IF;
        IF public.audit_checked_leaves(
                NEW.log, NEW.about_conversation, NEW.until_month, NEW.proposed_at) <> NEW.leaves
        THEN
            PERFORM public.audit_refuse_cut('audit_cut_changed', 'What is to be cut has changed.');
        END IF;
        NEW.transaction := pg_current_xact_id();
        NEW.done_at := statement_timestamp();
    END IF;
    NEW.agreed_at := CASE WHEN NEW.agreed_by IS NULL THEN NULL
        ELSE coalesce(OLD.agreed_at, statement_timestamp()) END;
    RETURN NEW;
END $$;
CREATE TRIGGER audit_cut_guard BEFORE INSERT OR UPDATE ON audit_cut
    FOR EACH ROW EXECUTE FUNCTION audit_guard_cut();
CREATE TRIGGER audit_cut_refuse_change BEFORE DELETE ON audit_cut
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
"""
GUARDS += "".join(
    f"""
CREATE TRIGGER {table}_refuse_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse_change();"""
    for table in ("audit_log_term", "audit_log_hold", "audit_cut")
)

CUTTING = r"""
-- An event goes only in the transaction of an agreed cut, and only if its leaf is among the cut's.
CREATE FUNCTION audit_refuse_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM public.audit_cut c
        JOIN public.audit_leaf l ON l.event = OLD.id AND l.log = OLD.log
        WHERE c.transaction = pg_current_xact_id_if_assigned() AND c.log = OLD.log
            AND c.about_conversation = OLD.about_conversation AND OLD.month < c.until_month
            AND c.leaves @> l.leaf_index) THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'The audit log is never altered: % on % refused.', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE INDEX audit_cut_by_transaction ON audit_cut (transaction) WHERE transaction IS NOT NULL;

DROP TRIGGER audit_event_refuse_change ON audit_event;
CREATE TRIGGER audit_event_refuse_change BEFORE UPDATE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_change();
CREATE TRIGGER audit_event_refuse_delete BEFORE DELETE ON audit_event
    FOR EACH ROW EXECUTE FUNCTION audit_refuse_delete();

-- The body is that of the event that says what was cut: it is written here, or nothing is cut.
CREATE FUNCTION audit_do_cut(wanted uuid, body text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    cut public.audit_cut;
    said jsonb := body::jsonb;
    gone bigint;
    emptied record;
    is_empty boolean;
BEGIN
    SELECT * INTO cut FROM public.audit_cut WHERE id = wanted;
    IF NOT FOUND THEN
        PERFORM public.audit_refuse_cut('audit_cut_unknown', 'There is no such cut.');
    END IF;
    PERFORM public.audit_alone_with_log(cut.log);
    SELECT * INTO cut FROM public.audit_cut WHERE id = wanted FOR UPDATE;
    IF cut.done_at IS NOT NULL THEN
        PERFORM public.audit_refuse_cut('audit_cut_done', 'The cut is done.');
    ELSIF cut.replaced_at IS NOT NULL THEN
        PERFORM public.audit_refuse_cut('audit_cut_replaced', 'Another was proposed since.');
    END IF;
    IF (said ->> 'op', said #>> '{x,cut}', said #>> '{x,count}', said #>> '{x,first_leaf}',
            said #>> '{x,last_leaf}', said #>> '{x,root}', said #>> '{x,leaves}')
        IS DISTINCT FROM ('audit.cut', cut.id::text, cut.events::text, cut.first_leaf::text,
            cut.last_leaf::text, encode(cut.root, 'hex'),
            encode(sha256(convert_to(cut.leaves::text, 'UTF8')), 'hex')) THEN
        PERFORM public.audit_refuse_cut('audit_cut_event', 'The event does not say what is cut.');
    END IF;

    -- audit_guard_cut checks everything that must hold.
    UPDATE public.audit_cut SET transaction = pg_current_xact_id(),
        done_at = statement_timestamp() WHERE id = wanted;
    WITH events AS (
        DELETE FROM public.audit_event e USING public.audit_leaf l
        WHERE e.log = cut.log AND e.about_conversation = cut.about_conversation
            AND e.month < cut.until_month AND l.event = e.id AND cut.leaves @> l.leaf_index
        RETURNING e.event_id
    ), details AS (
        DELETE FROM public.audit_detail d USING events WHERE d.event_id = events.event_id
    )
    SELECT count(*) INTO gone FROM events;
    IF gone <> cut.events THEN
        PERFORM public.audit_refuse_cut('audit_cut_changed', 'What is to be cut has changed.');
    END IF;
    INSERT INTO public.audit_event (log, about_conversation, body)
        VALUES (cut.log, false, audit_do_cut.body);

    -- Empty partitions go where nobody is kept waiting for it; the next cut tries again.
    PERFORM set_config('lock_timeout', '200ms', true);
    FOR emptied IN
        SELECT tree.relid::regclass AS partition
        FROM pg_partition_tree('public.audit_event') tree JOIN pg_class c ON c.oid = tree.relid
        WHERE tree.isleaf AND c.relname LIKE 'audit\_event\_' || replace(cut.log, '-', '')
            || CASE WHEN cut.about_conversation THEN '\_c\_' ELSE '\_o\_' END || '______'
            AND right(c.relname, 6) < to_char(cut.until_month, 'YYYYMM')
    LOOP
        EXECUTE format('SELECT NOT EXISTS (SELECT FROM %s)', emptied.partition) INTO is_empty;
        CONTINUE WHEN NOT is_empty;
        BEGIN
            EXECUTE format('DROP TABLE %s', emptied.partition);
        EXCEPTION WHEN lock_not_available THEN
            EXIT;
        END;
    END LOOP;
    RETURN gone;
END $$;
"""

# A detail's log, so that a hold on it stops the erasing; and an end for those that had none.
DETAILS = r"""
ALTER TABLE audit_detail DISABLE TRIGGER audit_detail_refuse_change;
UPDATE audit_detail d SET log = e.log,
    delete_after = coalesce(d.delete_after, e.happened_at + interval '365 days')
    FROM audit_event e WHERE e.event_id = d.event_id;
ALTER TABLE audit_detail ENABLE TRIGGER audit_detail_refuse_change;
"""

CLOSED = r"""
REVOKE ALL ON FUNCTION audit_term(text), audit_alone_with_log(text),
    audit_cuttable(text, boolean, date, timestamptz), audit_refuse_cut(text, text),
    audit_checked_leaves(text, boolean, date, timestamptz),
    audit_leaves_counted(int8multirange), audit_guard_term(), audit_guard_hold(),
    audit_guard_cut(), audit_refuse_delete(), audit_do_cut(uuid, text) FROM PUBLIC;
"""


class Migration(migrations.Migration):
    """There is no way back: undoing it would forget what was cut."""

    dependencies = [("audit", "0002_sealing")]

    operations = [
        migrations.RunSQL(TABLES),
        migrations.RunSQL(RULES),
        migrations.RunSQL(GUARDS),
        migrations.RunSQL(CUTTING),
        migrations.AddField(
            model_name="auditdetail", name="log", field=models.TextField(null=True)
        ),
        migrations.RunSQL(DETAILS),
        migrations.RunSQL(CLOSED),
        # The tables above, as Django's state knows them.
        migrations.CreateModel(
            name="LogTerm",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("log", models.TextField()),
                ("months", models.SmallIntegerField()),
                ("legal_reason", models.TextField()),
                ("set_at", models.DateTimeField()),
                ("set_by", models.UUIDField()),
            ],
            options={
                "verbose_name": "term of a log",
                "db_table": "audit_log_term",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="LogHold",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("log", models.TextField()),
                ("placed_at", models.DateTimeField()),
                ("placed_by", models.UUIDField()),
                ("lifted_at", models.DateTimeField(null=True)),
                ("lifted_by", models.UUIDField(null=True)),
            ],
            options={
                "verbose_name": "hold on a log",
                "db_table": "audit_log_hold",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Cut",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("log", models.TextField()),
                ("about_conversation", models.BooleanField()),
                ("until_month", models.DateField()),
                ("events", models.BigIntegerField()),
                ("first_leaf", models.BigIntegerField()),
                ("last_leaf", models.BigIntegerField()),
                ("root", models.BinaryField(max_length=32)),
                ("proposed_at", models.DateTimeField()),
                ("proposed_by", models.UUIDField()),
                ("agreed_at", models.DateTimeField(null=True)),
                ("agreed_by", models.UUIDField(null=True)),
                ("replaced_at", models.DateTimeField(null=True)),
                ("done_at", models.DateTimeField(null=True)),
            ],
            options={"verbose_name": "cut", "db_table": "audit_cut", "managed": False},
        ),
    ]
