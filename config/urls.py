"""Every address of the product."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from config import views

# One door: the site for administrators has no sign-in of its own, which nothing would log or limit.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    path("", views.home, name="home"),
    path("healthz", views.healthz, name="healthz"),
    path("language/", include("django.conf.urls.i18n")),
    path("account/", include("allauth.urls")),
    path("me/", include("accounts.urls")),
    path("conversations/", include("recordings.urls")),
    path("retention/", include("retention.urls")),
    path("audit/", include("audit.urls")),
    path("admin/", admin.site.urls),
]
handler404 = "config.views.not_found"
