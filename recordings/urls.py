"""Addresses of conversations; nothing personal stands in them."""

from django.urls import path

from recordings import views

app_name = "recordings"
urlpatterns = [
    path("", views.conversations, name="conversations"),
    path("listened/", views.listened, name="listened"),
    path("quarantine/", views.quarantine, name="quarantine"),
    path("<uuid:conversation_id>/", views.conversation, name="conversation"),
    path("sound/<uuid:dialog_id>", views.sound, name="sound"),
    path("waveform/<uuid:dialog_id>", views.waveform, name="waveform"),
]
