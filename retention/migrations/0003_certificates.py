"""Adds the certificates of purge runs, and to each destruction its line on one."""

import django.db.models.deletion
import uuid_utils.compat
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0001_initial'),
        ('recordings', '0003_links_end'),
        ('retention', '0002_guards'),
    ]

    operations = [
        migrations.AddField(
            model_name='destruction',
            name='leaf_index',
            field=models.BigIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name='destruction',
            name='line',
            field=models.TextField(blank=True),
        ),
        migrations.CreateModel(
            name='Certificate',
            fields=[
                ('id', models.UUIDField(default=uuid_utils.compat.uuid7, editable=False, primary_key=True, serialize=False)),
                ('number', models.PositiveSmallIntegerField()),
                ('issued_at', models.DateTimeField()),
                ('keep_until', models.DateTimeField()),
                ('line_count', models.PositiveIntegerField()),
                ('fields', models.TextField()),
                ('digest', models.CharField(max_length=64)),
                ('seal', models.TextField(null=True)),
                ('sealed_at', models.DateTimeField(null=True)),
                ('controller', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='accounts.controller')),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='certificates', to='retention.purgerun')),
            ],
            options={
                'ordering': ['issued_at', 'number'],
            },
        ),
        migrations.AddField(
            model_name='destruction',
            name='certificate',
            field=models.ForeignKey(blank=True, db_index=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='retention.certificate'),
        ),
        migrations.AddIndex(
            model_name='destruction',
            index=models.Index(condition=models.Q(('certificate', None), ('concluded_at__isnull', False)), fields=['run', 'controller'], name='destruction_uncertified'),
        ),
        migrations.AddConstraint(
            model_name='destruction',
            constraint=models.UniqueConstraint(fields=('certificate', 'leaf_index'), name='destruction_place_once'),
        ),
        migrations.AddConstraint(
            model_name='destruction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('certificate', None), ('leaf_index', None), ('line', '')), models.Q(('certificate__isnull', False), ('concluded_at__isnull', False), ('leaf_index__isnull', False), models.Q(('line', ''), _negated=True)), _connector='OR'), name='destruction_certified_with_its_line'),
        ),
        migrations.AddIndex(
            model_name='certificate',
            index=models.Index(condition=models.Q(('seal', None)), fields=['issued_at'], name='certificate_awaiting_seal'),
        ),
        migrations.AddIndex(
            model_name='certificate',
            index=models.Index(fields=['keep_until'], name='certificate_by_end'),
        ),
        migrations.AddConstraint(
            model_name='certificate',
            constraint=models.UniqueConstraint(fields=('run', 'controller', 'number'), name='certificate_once'),
        ),
        migrations.AddConstraint(
            model_name='certificate',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('seal', None), ('sealed_at', None)), models.Q(('seal__isnull', False), ('sealed_at__isnull', False)), _connector='OR'), name='certificate_sealed_at_iff_sealed'),
        ),
    ]
