"""The addresses of the audit log's pages."""

from django.urls import path

from audit import views

app_name = "audit"
urlpatterns = [
    path("", views.log_page, name="log"),
    path("export/", views.export_log, name="export"),
]
