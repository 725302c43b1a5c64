"""Addresses of rules, holds, purge runs and explanations; nothing personal stands in them."""

from django.urls import path

from retention import views

app_name = "retention"
urlpatterns = [
    path("rules/", views.rules, name="rules"),
    path("rules/new/", views.rule_new, name="rule_new"),
    path("rules/limit/", views.limit_set, name="limit_set"),
    path("rules/notice/", views.notice_new, name="notice_new"),
    path("rules/<uuid:rule_id>/", views.rule_change, name="rule_change"),
    path("rules/<uuid:rule_id>/retire/", views.rule_retire, name="rule_retire"),
    path("simulations/<uuid:simulation_id>/", views.simulation, name="simulation"),
    path(
        "simulations/<uuid:simulation_id>/progress/",
        views.simulation_progress,
        name="simulation_progress",
    ),
    path("proposals/<uuid:proposal_id>/", views.proposal, name="proposal"),
    path("proposals/<uuid:proposal_id>/approve/", views.proposal_approve, name="proposal_approve"),
    path("proposals/<uuid:proposal_id>/refuse/", views.proposal_refuse, name="proposal_refuse"),
    path(
        "proposals/<uuid:proposal_id>/simulate/",
        views.proposal_simulate,
        name="proposal_simulate",
    ),
    path(
        "proposals/<uuid:proposal_id>/take-back/",
        views.proposal_take_back,
        name="proposal_take_back",
    ),
    path("releases/sources/<uuid:source_id>/", views.source_release, name="source_release"),
    path("releases/rules/<uuid:controller_id>/", views.rules_release, name="rules_release"),
    path("matters/", views.matters, name="matters"),
    path("matters/new/", views.matter_new, name="matter_new"),
    path("matters/<uuid:matter_id>/", views.matter, name="matter"),
    path("matters/<uuid:matter_id>/close/", views.matter_close, name="matter_close"),
    path("matters/<uuid:matter_id>/handlers/", views.matter_handler_new, name="matter_handler_new"),
    path("matters/<uuid:matter_id>/holds/", views.hold_place, name="hold_place"),
    path("matters/<uuid:matter_id>/review/", views.matter_review, name="matter_review"),
    path("matters/<uuid:matter_id>/progress/", views.matter_progress, name="matter_progress"),
    path("matters/<uuid:matter_id>/criteria/new/", views.criterion_new, name="criterion_new"),
    path("criteria/<uuid:criterion_id>/drop/", views.criterion_drop, name="criterion_drop"),
    path("liftings/<uuid:lifting_id>/agree/", views.lifting_agree, name="lifting_agree"),
    path(
        "liftings/<uuid:lifting_id>/take-back/", views.lifting_take_back, name="lifting_take_back"
    ),
    path("holds/<uuid:hold_id>/lift/", views.hold_lift, name="hold_lift"),
    path("purge-runs/", views.purge_runs, name="purge_runs"),
    path("purge-runs/pause/", views.purge_pause, name="purge_pause"),
    path("purge-runs/resume/", views.purge_resume, name="purge_resume"),
    path("purge-runs/<uuid:run_id>/stop/", views.purge_stop, name="purge_stop"),
    path("purge-runs/<uuid:run_id>/", views.purge_run, name="purge_run"),
    path("purge-runs/<uuid:run_id>/progress/", views.purge_run_progress, name="purge_run_progress"),
    path("purge-runs/<uuid:run_id>/release/", views.run_release, name="run_release"),
    path("certificates/<uuid:certificate_id>/", views.certificate, name="certificate"),
    path(
        "certificates/<uuid:certificate_id>/file/", views.certificate_file, name="certificate_file"
    ),
    path("attention/", views.attention, name="attention"),
    path("uncovered/", views.uncovered, name="uncovered"),
    path(
        "uncovered/<uuid:conversation_id>/",
        views.undecided_conversation,
        name="undecided_conversation",
    ),
    path("quarantined/<uuid:item_id>/", views.undecided_item, name="undecided_item"),
    path("conversations/<uuid:conversation_id>/", views.explain, name="explain"),
    path("conversations/<uuid:conversation_id>/hold/", views.hold_place_on, name="hold_place_on"),
]
