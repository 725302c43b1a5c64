"""The addresses of the audit log's pages."""

from django.urls import path

from audit import (
    exports,
    growth_views,
    person_views,
    reading_views,
    search_views,
    verify_views,
    views,
)

app_name = "audit"
urlpatterns = [
    path("", views.log_page, name="log"),
    path("export/", exports.export_log, name="export"),
    path("counts/", reading_views.counts, name="counts"),
    path("refusals/", reading_views.refusals, name="refusals"),
    path("<slug:log>/conversations/<uuid:conversation_id>/", reading_views.story, name="story"),
    path("verify/", verify_views.verify_log, name="verify"),
    path("<slug:log>/verification/", verify_views.verification, name="verification"),
    path("searches/", search_views.save, name="save_search"),
    path("searches/<uuid:search_id>/delete/", search_views.delete, name="delete_search"),
    path("growth/", growth_views.growth_page, name="growth"),
    path("growth/term/", growth_views.change_term, name="change_term"),
    path("growth/hold/", growth_views.place_log_hold, name="place_log_hold"),
    path("growth/lift/", growth_views.lift_log_hold, name="lift_log_hold"),
    path("growth/propose/", growth_views.propose_cut, name="propose_cut"),
    path("growth/agree/", growth_views.agree_to_cut, name="agree_to_cut"),
    path("report/", growth_views.subject_report, name="report"),
    path("<slug:log>/people/<str:reference>/", person_views.person, name="person"),
    path("<slug:log>/keys/", exports.public_keys, name="keys"),
    path("<slug:log>/consistency/", exports.consistency_proof, name="consistency"),
    path("<slug:log>/events/<uuid:event_id>/proof/", exports.event_proof, name="proof"),
]
