"""What takes effect only when two persons want it; limits get versions, as rules have."""

import datetime
import django.core.serializers.json
import django.db.models.deletion
import django.db.models.functions.text
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


_SETTINGS = "LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp"

# As whoever writes, not as the owner: only the owner sets up without two persons. Who is named on
# the row is who decided the proposal; a proposal is decided once and says what it said.
GUARD = f"""
CREATE FUNCTION retention_enacted_guard() RETURNS trigger {_SETTINGS} AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.taken_back_at IS DISTINCT FROM OLD.taken_back_at
           AND (OLD.taken_back_at IS NOT NULL OR OLD.in_force_from <= statement_timestamp()) THEN
            RAISE EXCEPTION 'What is in force is not taken back, only followed by another.'
                USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF NEW.proposal_id IS NULL THEN
        IF NOT pg_has_role(
            current_user, (SELECT relowner FROM pg_class WHERE oid = TG_RELID), 'MEMBER') THEN
            RAISE EXCEPTION 'A rule is proposed by one person and approved by another.'
                USING ERRCODE = 'restrict_violation';
        END IF;
    ELSIF NOT EXISTS (
        SELECT FROM public.retention_proposal
        WHERE id = NEW.proposal_id AND state = 'approved'
          AND proposed_by_id = NEW.created_by_id AND decided_by_id = NEW.approved_by_id) THEN
        RAISE EXCEPTION 'The proposal was not approved by this person.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER rule_version_guard BEFORE INSERT OR UPDATE OF taken_back_at
    ON retention_ruleversion FOR EACH ROW EXECUTE FUNCTION retention_enacted_guard();
CREATE TRIGGER purpose_limit_guard BEFORE INSERT OR UPDATE OF taken_back_at
    ON retention_purposelimit FOR EACH ROW EXECUTE FUNCTION retention_enacted_guard();

CREATE FUNCTION retention_proposal_guard() RETURNS trigger {_SETTINGS} AS $$
DECLARE
    later text[] := '{{state,decided_at,decided_by_id,decision_reason,used_at,proposed_by_id}}';
BEGIN
    IF (OLD.state <> 'open' AND NEW.state <> OLD.state)
       OR (OLD.used_at IS NOT NULL AND NEW.used_at IS DISTINCT FROM OLD.used_at)
       OR to_jsonb(NEW) - later <> to_jsonb(OLD) - later THEN
        RAISE EXCEPTION 'A proposal is decided once, and used once.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER proposal_guard BEFORE UPDATE ON retention_proposal
    FOR EACH ROW EXECUTE FUNCTION retention_proposal_guard();
"""

UNGUARD = """
DROP TRIGGER proposal_guard ON retention_proposal;
DROP FUNCTION retention_proposal_guard();
DROP TRIGGER purpose_limit_guard ON retention_purposelimit;
DROP TRIGGER rule_version_guard ON retention_ruleversion;
DROP FUNCTION retention_enacted_guard();
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('retention', '0005_matchers_and_triggers'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Proposal',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('deed', models.CharField(choices=[('create_rule', 'New rule'), ('change_rule', 'Change of a rule'), ('retire_rule', 'Retiring a rule'), ('set_limit', 'Limits of a purpose'), ('release_source', 'Releasing a source'), ('release_rules', "Releasing a company's rules"), ('release_run', 'Releasing a stopped purge run')], max_length=20)),
                ('name', models.CharField(blank=True, max_length=200)),
                ('terms', models.JSONField(default=dict, encoder=django.core.serializers.json.DjangoJSONEncoder)),
                ('based_on', models.PositiveIntegerField(default=0)),
                ('wanted_from', models.DateTimeField(blank=True, null=True)),
                ('urgency', models.CharField(blank=True, choices=[('unlawful', 'The rule in force is unlawful'), ('authority_order', "An authority's order")], max_length=20)),
                ('reason', models.TextField()),
                ('proposed_at', models.DateTimeField()),
                ('state', models.CharField(choices=[('open', 'Awaits a second person'), ('approved', 'Approved'), ('refused', 'Refused'), ('taken_back', 'Taken back')], default='open', max_length=10)),
                ('decided_at', models.DateTimeField(blank=True, null=True)),
                ('decision_reason', models.TextField(blank=True)),
                ('used_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['-proposed_at'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='purposelimit',
            name='purpose_limit_once',
        ),
        migrations.AddField(
            model_name='purposelimit',
            name='approved_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='purposelimit',
            name='created_at',
            field=models.DateTimeField(default=datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='purposelimit',
            name='created_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='purposelimit',
            name='in_force_from',
            field=models.DateTimeField(default=datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='purposelimit',
            name='is_shortening',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='purposelimit',
            name='number',
            field=models.PositiveIntegerField(default=1),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name='purposelimit',
            name='taken_back_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='purposelimit',
            name='taken_back_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='purposelimit',
            name='urgency',
            field=models.CharField(blank=True, choices=[('unlawful', 'The rule in force is unlawful'), ('authority_order', "An authority's order")], max_length=20),
        ),
        migrations.AddField(
            model_name='ruleversion',
            name='approved_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='ruleversion',
            name='is_shortening',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='ruleversion',
            name='taken_back_at',
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='ruleversion',
            name='taken_back_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='ruleversion',
            name='urgency',
            field=models.CharField(blank=True, choices=[('unlawful', 'The rule in force is unlawful'), ('authority_order', "An authority's order")], max_length=20),
        ),
        migrations.AlterField(
            model_name='purgerun',
            name='state',
            field=models.CharField(choices=[('running', 'Running'), ('finished', 'Finished'), ('braked', 'Stopped: much larger than usual'), ('released', 'Stopped, then released by two persons')], default='running', max_length=10),
        ),
        migrations.AddField(
            model_name='proposal',
            name='controller',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.controller'),
        ),
        migrations.AddField(
            model_name='proposal',
            name='decided_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='proposal',
            name='proposed_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='proposal',
            name='purpose',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.purpose'),
        ),
        migrations.AddField(
            model_name='proposal',
            name='rule',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='proposals', to='retention.retentionrule'),
        ),
        migrations.AddField(
            model_name='proposal',
            name='run',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='releases', to='retention.purgerun'),
        ),
        migrations.AddField(
            model_name='proposal',
            name='source',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.source'),
        ),
        migrations.AddField(
            model_name='purposelimit',
            name='proposal',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='%(class)s', to='retention.proposal'),
        ),
        migrations.AddField(
            model_name='ruleversion',
            name='proposal',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='%(class)s', to='retention.proposal'),
        ),
        migrations.AddConstraint(
            model_name='purposelimit',
            constraint=models.UniqueConstraint(fields=('controller', 'purpose', 'number'), name='purpose_limit_number_once'),
        ),
        migrations.AddConstraint(
            model_name='purposelimit',
            constraint=models.CheckConstraint(condition=models.Q(('created_by', None), ('approved_by', None), models.Q(('created_by', models.F('approved_by')), _negated=True), _connector='OR'), name='purpose_limit_approved_by_another'),
        ),
        migrations.AddConstraint(
            model_name='ruleversion',
            constraint=models.CheckConstraint(condition=models.Q(('created_by', None), ('approved_by', None), models.Q(('created_by', models.F('approved_by')), _negated=True), _connector='OR'), name='rule_version_approved_by_another'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.UniqueConstraint(models.F('controller'), django.db.models.functions.text.Lower('name'), condition=models.Q(('deed__in', ['create_rule']), ('state', 'open')), name='proposal_open_once_per_name'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.UniqueConstraint(models.F('rule'), condition=models.Q(('deed__in', ['change_rule', 'retire_rule']), ('state', 'open')), name='proposal_open_once_per_rule'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.UniqueConstraint(models.F('controller'), models.F('purpose'), condition=models.Q(('deed__in', ['set_limit']), ('state', 'open')), name='proposal_open_once_per_limit'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.UniqueConstraint(models.F('source'), condition=models.Q(('deed__in', ['release_source']), ('state', 'open')), name='proposal_open_once_per_source'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.UniqueConstraint(models.F('controller'), condition=models.Q(('deed__in', ['release_rules']), ('state', 'open')), name='proposal_open_once_per_company'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.UniqueConstraint(models.F('run'), condition=models.Q(('deed__in', ['release_run']), ('state', 'open')), name='proposal_open_once_per_run'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('decided_at', None), ('state', 'open')), models.Q(models.Q(('state', 'open'), _negated=True), ('decided_at__isnull', False)), _connector='OR'), name='proposal_decided_at_iff_decided'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['open', 'taken_back']), ('proposed_by', None), ('decided_by', None), models.Q(('proposed_by', models.F('decided_by')), _negated=True), _connector='OR'), name='proposal_decided_by_another'),
        ),
        migrations.AddConstraint(
            model_name='proposal',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('controller', None), ('deed', 'release_run'), ('run__isnull', False)), models.Q(models.Q(('deed', 'release_run'), _negated=True), ('controller__isnull', False), ('run', None)), _connector='OR'), name='proposal_has_a_company_unless_of_a_run'),
        ),
        migrations.RunSQL(GUARD, UNGUARD),
    ]
