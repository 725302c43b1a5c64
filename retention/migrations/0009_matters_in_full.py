"""Adds criteria, reviews and the two persons without whom nothing is lifted."""

import django.contrib.postgres.fields
import django.db.models.deletion
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import Now

# SECURITY DEFINER: the guards ask of tables that the role at work may not read.
_DEFINER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp"

GUARD_LIFTING = f"""
-- One person proposes, another agrees, and what was proposed does not change meanwhile.
CREATE FUNCTION retention_lifting_guard() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.agreed_at IS NOT NULL OR NEW.agreed_by_id IS NOT NULL
           OR NEW.proposed_by_id IS NULL THEN
            RAISE EXCEPTION 'A lifting is proposed by somebody before another agrees.'
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF (NEW.matter_id, NEW.kind, NEW.hold_ids, NEW.reason, NEW.proposed_at)
        IS DISTINCT FROM (OLD.matter_id, OLD.kind, OLD.hold_ids, OLD.reason, OLD.proposed_at)
       OR NEW.criterion_id IS DISTINCT FROM OLD.criterion_id
       -- The row of a person who is erased takes its reference with it.
       OR (NEW.proposed_by_id IS DISTINCT FROM OLD.proposed_by_id
           AND NEW.proposed_by_id IS NOT NULL)
       OR (OLD.agreed_at IS NOT NULL AND NEW.agreed_at IS DISTINCT FROM OLD.agreed_at)
       OR (OLD.taken_back_at IS NOT NULL
           AND NEW.taken_back_at IS DISTINCT FROM OLD.taken_back_at) THEN
        RAISE EXCEPTION 'A lifting is agreed to or taken back, and otherwise does not change.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.agreed_at IS NOT NULL AND OLD.agreed_at IS NULL AND (
            NEW.agreed_by_id IS NULL OR OLD.proposed_by_id IS NULL
            OR NEW.agreed_by_id = OLD.proposed_by_id))
       OR (NEW.agreed_by_id IS NOT NULL
           AND NEW.agreed_by_id IS DISTINCT FROM OLD.agreed_by_id
           AND (OLD.agreed_at IS NOT NULL OR NEW.agreed_at IS NULL)) THEN
        RAISE EXCEPTION 'A lifting is agreed to by another person than proposed it.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER lifting_guard BEFORE INSERT OR UPDATE ON retention_lifting
    FOR EACH ROW EXECUTE FUNCTION retention_lifting_guard();

-- A hold is lifted, a criterion dropped, a matter closed by what two persons agreed to.
CREATE FUNCTION retention_hold_guard_lifting() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF NEW.criterion_id IS DISTINCT FROM OLD.criterion_id
       OR (OLD.lifting_id IS NOT NULL AND NEW.lifting_id IS DISTINCT FROM OLD.lifting_id)
       OR (NEW.lifted_at IS NOT NULL AND OLD.lifted_at IS NULL AND NEW.lifting_id IS NULL)
       OR (NEW.lifting_id IS NOT NULL AND OLD.lifting_id IS NULL AND NOT EXISTS (
            SELECT FROM public.retention_lifting l
            WHERE l.id = NEW.lifting_id AND l.matter_id = NEW.matter_id
              AND l.agreed_at IS NOT NULL AND l.finished_at IS NULL
              AND CASE l.kind
                    WHEN 'matter' THEN true
                    WHEN 'criterion' THEN l.criterion_id = NEW.criterion_id
                    ELSE NEW.id = ANY(l.hold_ids)
                  END)) THEN
        RAISE EXCEPTION 'A hold is lifted by what two persons agreed to.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hold_guard_lifting BEFORE UPDATE ON retention_hold
    FOR EACH ROW EXECUTE FUNCTION retention_hold_guard_lifting();

CREATE FUNCTION retention_criterion_guard() RETURNS trigger {_DEFINER} AS $$
DECLARE
    -- That of the person who set it goes with her row.
    progress text[] := '{{reached,total_count,done_count,too_late_count,heartbeat_at,applied_at,'
                       'dropped_at,set_by_id}}';
BEGIN
    IF to_jsonb(NEW) - progress <> to_jsonb(OLD) - progress
       OR (NEW.set_by_id IS NOT NULL AND NEW.set_by_id IS DISTINCT FROM OLD.set_by_id)
       OR (OLD.dropped_at IS NULL AND NEW.dropped_at IS NOT NULL AND NOT EXISTS (
            SELECT FROM public.retention_lifting l
            WHERE l.matter_id = NEW.matter_id AND l.agreed_at IS NOT NULL
              AND (l.kind = 'matter' OR l.criterion_id = NEW.id))) THEN
        RAISE EXCEPTION 'A criterion is dropped by two persons, and otherwise does not change.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER criterion_guard BEFORE UPDATE ON retention_criterion
    FOR EACH ROW EXECUTE FUNCTION retention_criterion_guard();

CREATE FUNCTION retention_matter_guard() RETURNS trigger {_DEFINER} AS $$
BEGIN
    IF NEW.closed_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM public.retention_lifting l
        WHERE l.matter_id = NEW.id AND l.kind = 'matter' AND l.agreed_at IS NOT NULL) THEN
        RAISE EXCEPTION 'A matter is closed by two persons.' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER matter_guard BEFORE UPDATE OF closed_at ON retention_matter
    FOR EACH ROW WHEN (OLD.closed_at IS NULL)
    EXECUTE FUNCTION retention_matter_guard();

CREATE TRIGGER criterion_refuse_delete BEFORE DELETE ON retention_criterion
    FOR EACH ROW EXECUTE FUNCTION retention_refuse();
CREATE TRIGGER lifting_refuse_delete BEFORE DELETE ON retention_lifting
    FOR EACH ROW EXECUTE FUNCTION retention_refuse();
"""

UNGUARD_LIFTING = """
DROP TRIGGER lifting_refuse_delete ON retention_lifting;
DROP TRIGGER criterion_refuse_delete ON retention_criterion;
DROP TRIGGER matter_guard ON retention_matter;
DROP FUNCTION retention_matter_guard();
DROP TRIGGER criterion_guard ON retention_criterion;
DROP FUNCTION retention_criterion_guard();
DROP TRIGGER hold_guard_lifting ON retention_hold;
DROP FUNCTION retention_hold_guard_lifting();
DROP TRIGGER lifting_guard ON retention_lifting;
DROP FUNCTION retention_lifting_guard();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('recordings', '0003_links_end'),
        ('retention', '0008_purge_control'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Criterion',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kinds', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('call', 'Call'), ('chat', 'Chat')], max_length=4), blank=True, default=list, size=None)),
                ('teams', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), blank=True, default=list, size=None)),
                ('queues', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), blank=True, default=list, size=None)),
                ('ended_from', models.DateTimeField(blank=True, null=True)),
                ('ended_until', models.DateTimeField(blank=True, null=True)),
                ('agent', models.UUIDField(blank=True, null=True)),
                ('customer_hash', models.BinaryField(blank=True, max_length=32, null=True)),
                ('set_at', models.DateTimeField()),
                ('dropped_at', models.DateTimeField(blank=True, null=True)),
                ('reached', models.UUIDField(blank=True, null=True)),
                ('total_count', models.PositiveIntegerField(default=0)),
                ('done_count', models.PositiveIntegerField(default=0)),
                ('too_late_count', models.PositiveIntegerField(default=0)),
                ('heartbeat_at', models.DateTimeField(blank=True, null=True)),
                ('applied_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['set_at'],
            },
        ),
        migrations.CreateModel(
            name='Lifting',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('holds', 'Single holds'), ('criterion', 'A criterion, with its holds'), ('matter', 'The whole matter')], max_length=10)),
                ('hold_ids', django.contrib.postgres.fields.ArrayField(base_field=models.UUIDField(), blank=True, default=list, size=None)),
                ('reason', models.TextField()),
                ('proposed_at', models.DateTimeField()),
                ('agreed_at', models.DateTimeField(blank=True, null=True)),
                ('taken_back_at', models.DateTimeField(blank=True, null=True)),
                ('total_count', models.PositiveIntegerField(default=0)),
                ('lifted_count', models.PositiveIntegerField(default=0)),
                ('heartbeat_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-proposed_at'],
            },
        ),
        migrations.CreateModel(
            name='MatterReview',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('reviewed_at', models.DateTimeField()),
                ('next_at', models.DateTimeField()),
                ('reason', models.TextField()),
            ],
            options={
                'ordering': ['-reviewed_at'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='hold',
            name='hold_once_per_matter',
        ),
        # Matters that there are already are to be looked at again from now on.
        migrations.AddField(
            model_name='matter',
            name='review_at',
            field=models.DateTimeField(db_default=Now()),
            preserve_default=False,
        ),
        migrations.AlterField(
            model_name='matter',
            name='review_at',
            field=models.DateTimeField(),
        ),
        migrations.AddIndex(
            model_name='matter',
            index=models.Index(fields=['-opened_at', '-id'], name='matter_newest'),
        ),
        migrations.AddField(
            model_name='criterion',
            name='matter',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='criteria', to='retention.matter'),
        ),
        migrations.AddField(
            model_name='criterion',
            name='set_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='criterion',
            name='source',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.source'),
        ),
        migrations.AddField(
            model_name='hold',
            name='criterion',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='holds', to='retention.criterion'),
        ),
        migrations.AddField(
            model_name='lifting',
            name='agreed_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='lifting',
            name='criterion',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='liftings', to='retention.criterion'),
        ),
        migrations.AddField(
            model_name='lifting',
            name='matter',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='liftings', to='retention.matter'),
        ),
        migrations.AddField(
            model_name='lifting',
            name='proposed_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='hold',
            name='lifting',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='holds', to='retention.lifting'),
        ),
        migrations.AddIndex(
            model_name='hold',
            index=models.Index(fields=['matter', '-placed_at', '-id'], name='hold_of_matter'),
        ),
        migrations.AddIndex(
            model_name='hold',
            index=models.Index(condition=models.Q(('criterion__isnull', False)), fields=['criterion', 'conversation'], name='hold_of_criterion'),
        ),
        migrations.AddIndex(
            model_name='hold',
            index=models.Index(condition=models.Q(('lifted_at', None), ('lifting__isnull', False)), fields=['lifting', 'conversation'], name='hold_to_lift'),
        ),
        migrations.AddConstraint(
            model_name='hold',
            constraint=models.UniqueConstraint(condition=models.Q(('lifted_at', None), ('lifting', None)), fields=('matter', 'conversation', 'criterion'), name='hold_once_per_matter', nulls_distinct=False),
        ),
        migrations.AddField(
            model_name='matterreview',
            name='matter',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reviews', to='retention.matter'),
        ),
        migrations.AddField(
            model_name='matterreview',
            name='reviewed_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddConstraint(
            model_name='lifting',
            constraint=models.CheckConstraint(condition=models.Q(('agreed_by', models.F('proposed_by')), _negated=True), name='lifting_agreed_by_another'),
        ),
        migrations.AddConstraint(
            model_name='lifting',
            constraint=models.CheckConstraint(condition=models.Q(('agreed_at', None), ('taken_back_at', None), _connector='OR'), name='lifting_agreed_or_taken_back'),
        ),
        migrations.AddConstraint(
            model_name='lifting',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('criterion__isnull', False), ('kind', 'criterion')), models.Q(models.Q(('kind', 'criterion'), _negated=True), ('criterion', None)), _connector='OR'), name='lifting_names_a_criterion_iff_of_one'),
        ),
        migrations.AddConstraint(
            model_name='lifting',
            constraint=models.UniqueConstraint(condition=models.Q(('agreed_at', None), ('kind', 'criterion'), ('taken_back_at', None)), fields=('criterion',), name='lifting_of_criterion_open_once'),
        ),
        migrations.AddConstraint(
            model_name='lifting',
            constraint=models.UniqueConstraint(condition=models.Q(('agreed_at', None), ('kind', 'matter'), ('taken_back_at', None)), fields=('matter',), name='lifting_of_matter_open_once'),
        ),
        migrations.RunSQL(GUARD_LIFTING, UNGUARD_LIFTING),
    ]
