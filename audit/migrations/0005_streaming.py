"""Adds where the log is streamed to, and how far it has come there."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0004_spared_events'),
    ]

    operations = [
        migrations.CreateModel(
            name='Stream',
            fields=[
                ('destination', models.TextField(primary_key=True, serialize=False)),
                ('address', models.TextField()),
                ('directed_at', models.DateTimeField()),
                ('ended_at', models.DateTimeField(null=True)),
                ('error', models.TextField(null=True)),
                ('failing_since', models.DateTimeField(null=True)),
                ('incident_raised_at', models.DateTimeField(null=True)),
            ],
            options={
                'verbose_name': 'stream',
                'db_table': 'audit_stream',
            },
        ),
        migrations.CreateModel(
            name='StreamCursor',
            fields=[
                ('pk', models.CompositePrimaryKey('stream', 'log', blank=True, editable=False, primary_key=True, serialize=False)),
                ('log', models.TextField()),
                ('next_index', models.BigIntegerField(default=0)),
                ('missing', models.BigIntegerField(default=0)),
                ('delivered_at', models.DateTimeField(null=True)),
                ('stream', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='cursors', to='audit.stream')),
            ],
            options={
                'verbose_name': 'cursor of a stream',
                'db_table': 'audit_stream_cursor',
            },
        ),
    ]
