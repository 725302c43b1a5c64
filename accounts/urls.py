"""Addresses of the pages about oneself."""

from django.urls import path

from accounts import views

app_name = "accounts"
urlpatterns = [
    path("undertaking/", views.undertaking, name="undertaking"),
    path("access/", views.my_access, name="my_access"),
    path("preferences/", views.preferences, name="preferences"),
]
