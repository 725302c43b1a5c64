"""Adds what waits for a decision, who was told of it, and when tasks were last done."""

import django.db.models.deletion
import uuid_utils.compat
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('retention', '0010_ledger_entries'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='TaskEnd',
            fields=[
                ('task', models.CharField(max_length=100, primary_key=True, serialize=False)),
                ('ended_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Disposition',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('about', models.CharField(choices=[('conversation', 'Conversation without a rule'), ('quarantined', 'Item in quarantine')], max_length=15)),
                ('target', models.UUIDField()),
                ('kind', models.CharField(choices=[('destroy', 'Destroy now'), ('extend', 'Wait once more as long')], max_length=10)),
                ('reason', models.CharField(max_length=500)),
                ('subject_is_told', models.BooleanField(default=False)),
                ('proposed_at', models.DateTimeField()),
                ('agreed_at', models.DateTimeField(blank=True, null=True)),
                ('ended_at', models.DateTimeField(blank=True, null=True)),
                ('done_at', models.DateTimeField(blank=True, null=True)),
                ('agreed_by', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('controller', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.controller')),
                ('proposed_by', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'ordering': ['-proposed_at'],
                'constraints': [models.UniqueConstraint(condition=models.Q(('done_at', None), ('ended_at', None)), fields=('target',), name='disposition_open_once'), models.UniqueConstraint(condition=models.Q(('done_at__isnull', False), ('kind', 'extend')), fields=('target',), name='disposition_extends_once'), models.CheckConstraint(condition=models.Q(models.Q(('agreed_at', None), ('agreed_by', None)), models.Q(('agreed_at__isnull', False), ('agreed_by__isnull', False), models.Q(('agreed_by', models.F('proposed_by')), _negated=True)), _connector='OR'), name='disposition_agreed_by_another'), models.CheckConstraint(condition=models.Q(('done_at', None), ('agreed_at__isnull', False), _connector='OR'), name='disposition_done_after_agreed')],
            },
        ),
        migrations.CreateModel(
            name='Notice',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('about', models.CharField(choices=[('conversation', 'Conversation without a rule'), ('quarantined', 'Item in quarantine')], max_length=15)),
                ('days_left', models.PositiveSmallIntegerField()),
                ('after_at', models.DateTimeField()),
                ('until_at', models.DateTimeField()),
                ('count', models.PositiveIntegerField()),
                ('first_before', models.DateTimeField()),
                ('noted_at', models.DateTimeField()),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
                ('controller', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.controller')),
            ],
            options={
                'ordering': ['-noted_at'],
                'indexes': [models.Index(condition=models.Q(('sent_at', None)), fields=['noted_at'], name='notice_unsent')],
                'constraints': [models.UniqueConstraint(fields=('controller', 'about', 'days_left', 'until_at'), name='notice_once')],
            },
        ),
    ]
