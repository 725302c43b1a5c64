"""The application as the web server calls it."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_asgi_application()

from audit.checks import refuse_unsafe_database  # noqa: E402 (needs the apps to be loaded)

refuse_unsafe_database()
