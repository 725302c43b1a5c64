"""The addresses of the audit log's pages."""

from django.urls import path

from audit import exports, views

app_name = "audit"
urlpatterns = [
    path("", views.log_page, name="log"),
    path("export/", exports.export_log, name="export"),
    path("<slug:log>/keys/", exports.public_keys, name="keys"),
    path("<slug:log>/consistency/", exports.consistency_proof, name="consistency"),
    path("<slug:log>/events/<uuid:event_id>/proof/", exports.event_proof, name="proof"),
]
