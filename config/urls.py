"""Every address of the product."""

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import Group
from django.urls import include, path
from django.views.i18n import set_language

from config import views

# One door: the site for administrators has no sign-in of its own, which nothing would log or limit.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]
# Others register what could be changed there past our operations and their events: a new address
# for a coach's account, and with it her password, would be a way to listen.
for registered in (EmailAddress, UserSession, Group):
    admin.site.unregister(registered)

CLOSED = (
    "email/",
    "signup/",
    "password/set/",
    "password/reset/",
    "password/reset/done/",
    "password/reset/key/done/",
    "confirm-email/",
)

urlpatterns = [
    path("", views.home, name="home"),
    path("livez", views.livez, name="livez"),
    path("healthz", views.healthz, name="healthz"),
    # Whoever is to sign in may choose in which language.
    path("language/setlang/", login_not_required(set_language), name="set_language"),
    # What changes who is reached by an account belongs to administrators, and leaves an event.
    *(path(f"account/{closed}", views.not_found) for closed in CLOSED),
    path("account/", include("allauth.urls")),
    path("me/", include("accounts.urls")),
    path("conversations/", include("recordings.urls")),
    path("retention/", include("retention.urls")),
    path("audit/", include("audit.urls")),
    path("admin/", admin.site.urls),
]
handler404 = "config.views.not_found"
handler500 = "config.views.failed"
