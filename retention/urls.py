"""Addresses of rules, holds, purge runs and explanations; nothing personal stands in them."""

from django.urls import path

from retention import views

app_name = "retention"
urlpatterns = [
    path("rules/", views.rules, name="rules"),
    path("rules/new/", views.rule_new, name="rule_new"),
    path("rules/limit/", views.limit_set, name="limit_set"),
    path("rules/<uuid:rule_id>/", views.rule_change, name="rule_change"),
    path("rules/<uuid:rule_id>/retire/", views.rule_retire, name="rule_retire"),
    path("simulations/<uuid:simulation_id>/", views.simulation, name="simulation"),
    path(
        "simulations/<uuid:simulation_id>/progress/",
        views.simulation_progress,
        name="simulation_progress",
    ),
    path("matters/", views.matters, name="matters"),
    path("matters/new/", views.matter_new, name="matter_new"),
    path("matters/<uuid:matter_id>/", views.matter, name="matter"),
    path("matters/<uuid:matter_id>/close/", views.matter_close, name="matter_close"),
    path("matters/<uuid:matter_id>/handlers/", views.matter_handler_new, name="matter_handler_new"),
    path("matters/<uuid:matter_id>/holds/", views.hold_place, name="hold_place"),
    path("holds/<uuid:hold_id>/lift/", views.hold_lift, name="hold_lift"),
    path("purge-runs/", views.purge_runs, name="purge_runs"),
    path("purge-runs/<uuid:run_id>/", views.purge_run, name="purge_run"),
    path("purge-runs/<uuid:run_id>/progress/", views.purge_run_progress, name="purge_run_progress"),
    path("certificates/<uuid:certificate_id>/", views.certificate, name="certificate"),
    path(
        "certificates/<uuid:certificate_id>/file/", views.certificate_file, name="certificate_file"
    ),
    path("uncovered/", views.uncovered, name="uncovered"),
    path("conversations/<uuid:conversation_id>/", views.explain, name="explain"),
    path("conversations/<uuid:conversation_id>/hold/", views.hold_place_on, name="hold_place_on"),
]
