"""Settings: everything that differs between installations comes from the environment."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from environs import Env

env = Env()
BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = env.str("SECRET_KEY")
DEBUG = False
DEMO = env.bool("DEMO", default=False)
BASE_URL = env.str("BASE_URL", default="http://localhost:8000")
if DEMO and urlsplit(BASE_URL).hostname not in ("localhost", "127.0.0.1"):
    raise ImproperlyConfigured("DEMO drops what protects cookies: it is for this machine only.")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost"])
CSRF_TRUSTED_ORIGINS = [BASE_URL]

INSTALLED_APPS = [
    "config",
    "retention",
    "recordings",
    "accounts",
    "audit",
    "allauth",
    "allauth.account",
    "allauth.usersessions",
    "guardian",
    "django_htmx",
    "csp",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.sessions",
    "django.contrib.messages",
    "servestatic",
    "django.contrib.staticfiles",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "servestatic.middleware.ServeStaticMiddleware",
    "audit.middleware.RequestIdMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "config.middleware.OpenedMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.ArrivalMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "allauth.usersessions.middleware.UserSessionsMiddleware",
    "accounts.middleware.LoginRequiredMiddleware",
    "accounts.middleware.PrivateResponseMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "config.middleware.StoppedMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
AUTH_USER_MODEL = "accounts.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ANONYMOUS_USER_NAME = None  # guardian would make a user of that name
SILENCED_SYSTEM_CHECKS = [
    "guardian.W001",  # guardian's own backend knows no dates: ours asks TeamPermission instead
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.navigation.menu",
            ],
        },
    },
]

# --- Servers -------------------------------------------------------------------------------------

DATABASES = {"default": env.dj_db_url("DATABASE_URL")}
DATABASES["default"]["CONN_MAX_AGE"] = 0
DATABASES["default"]["ATOMIC_REQUESTS"] = False
# A database that does not answer must not hold up a refusal: see audit.operations.accountable.
DATABASES["default"]["OPTIONS"] = {
    "connect_timeout": 2,
    "tcp_user_timeout": 2000,
    **DATABASES["default"].get("OPTIONS", {}),
}
DATABASE_POOL_SIZE = env.int("DATABASE_POOL_SIZE", default=0)
if DATABASE_POOL_SIZE:
    DATABASES["default"]["OPTIONS"]["pool"] = {
        "min_size": 1,
        "max_size": DATABASE_POOL_SIZE,
        "timeout": 2,
    }

S3_ENDPOINT_URL = env.str("S3_ENDPOINT_URL", default=None)
S3_REGION = env.str("S3_REGION", default="us-east-1")
S3_CONTENT_BUCKET = env.str("S3_CONTENT_BUCKET", default="tallenne-content")
S3_ANCHOR_BUCKET = env.str("S3_ANCHOR_BUCKET", default="tallenne-anchor")
# Each process holds only the identities it needs; what it lacks it cannot use.
S3_CONTENT_ACCESS_KEY = env.str("S3_CONTENT_ACCESS_KEY", default=None)
S3_CONTENT_SECRET_KEY = env.str("S3_CONTENT_SECRET_KEY", default=None)
S3_PURGE_ACCESS_KEY = env.str("S3_PURGE_ACCESS_KEY", default=None)
S3_PURGE_SECRET_KEY = env.str("S3_PURGE_SECRET_KEY", default=None)
S3_ANCHOR_ACCESS_KEY = env.str("S3_ANCHOR_ACCESS_KEY", default=None)
S3_ANCHOR_SECRET_KEY = env.str("S3_ANCHOR_SECRET_KEY", default=None)
S3_ANCHOR_READ_ACCESS_KEY = env.str("S3_ANCHOR_READ_ACCESS_KEY", default=None)
S3_ANCHOR_READ_SECRET_KEY = env.str("S3_ANCHOR_READ_SECRET_KEY", default=None)
S3_EXPORT_ACCESS_KEY = env.str("S3_EXPORT_ACCESS_KEY", default=None)
S3_EXPORT_SECRET_KEY = env.str("S3_EXPORT_SECRET_KEY", default=None)
KEYRING_DIR = env.path("KEYRING_DIR", default=None)
DATA_DIR = env.path("DATA_DIR", default=BASE_DIR / ".data")

# In memory where the machine offers it: recordings lie there in clear while they are examined.
CAPTURE_WORK_DIR = env.path(
    "CAPTURE_WORK_DIR",
    default=Path("/dev/shm") if Path("/dev/shm").is_dir() else DATA_DIR / "work",  # noqa: S108
)

REDIS_URL = env.str("REDIS_URL", default=None)
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        # Django's own would unpickle what any holder of the broker's password has put there.
        "OPTIONS": {"serializer": "config.cache.JsonSerializer"},
    }
}

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
# Whoever rings must not wait for a doorbell that is out of order: the timetable rings again.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "socket_connect_timeout": 1,
    "socket_timeout": 5,
}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "work"
CELERY_TASK_ROUTES = {
    "retention.tasks.purge": {"queue": "purge"},
    "retention.tasks.purge_quarantine": {"queue": "purge"},
    "retention.tasks.delete_past_certificates": {"queue": "purge"},
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

# --- What the rooms ask of each other by name, so that layers hold -------------------------------

CAPTURE_COVERS_WITH = "retention.operations.cover.cover"
OPENED_BY = "retention.operations.opening.refuse_unless_open"
AUDIT_NAMES = "accounts.queries.names_by_reference"
AUDIT_ANCHOR_WRITER = "recordings.objectstore.anchor_writer"
AUDIT_ANCHOR_READER = "recordings.objectstore.anchor_reader"
AUDIT_EXPORT_STORE = "recordings.objectstore.StoreReceiver"

# --- How it behaves ------------------------------------------------------------------------------

PURGE_INTERVAL_SECONDS = env.int("PURGE_INTERVAL_SECONDS", default=3600)
PURGE_BATCH_SIZE = env.int("PURGE_BATCH_SIZE", default=1000)
PURGE_MAX_PER_MINUTE = env.int("PURGE_MAX_PER_MINUTE", default=0)
PURGE_LEASE_SECONDS = env.int("PURGE_LEASE_SECONDS", default=120)
PURGE_ATTEMPTS = 3
# Where the store is SeaweedFS: its volumes are vacuumed after a purge run.
SEAWEEDFS_MASTER_URL = env.str("SEAWEEDFS_MASTER_URL", default="")
PURGE_BRAKE_FACTOR = 3
PURGE_BRAKE_MINIMUM = env.int("PURGE_BRAKE_MINIMUM", default=1000)
RULE_COOLING_DAYS = env.int("RULE_COOLING_DAYS", default=7)
if RULE_COOLING_DAYS < 7 and not DEMO:
    raise ImproperlyConfigured("RULE_COOLING_DAYS is 7 at least: a shorter rule must not hurry.")
CERTIFICATE_KEPT_YEARS = env.int("CERTIFICATE_KEPT_YEARS", default=10)
BUSINESS_EVENT_KEPT_DAYS = env.int("BUSINESS_EVENT_KEPT_DAYS", default=730)
# How long the oldest backup of the database can be restored, and a copy of the keyring.
BACKUP_KEPT_DAYS = env.int("BACKUP_KEPT_DAYS", default=35)
KEYRING_ESCROW_KEPT_DAYS = env.int("KEYRING_ESCROW_KEPT_DAYS", default=30)
LEDGER_KEPT_DAYS = env.int("LEDGER_KEPT_DAYS", default=400)
UNCOVERED_DECIDE_DAYS = 30
MATTER_REVIEW_MONTHS = env.int("MATTER_REVIEW_MONTHS", default=12)
CAPTURE_MAX_FILE_BYTES = env.int("CAPTURE_MAX_FILE_BYTES", default=2 * 1024**3)
STREAM_RANGE_BYTES = 1024 * 1024

# The name all checkpoints of this installation begin with; it never changes.
AUDIT_ORIGIN = env.str("AUDIT_ORIGIN", default=f"{urlsplit(BASE_URL).hostname}/tallenne")
AUDIT_SEAL_KEYS_DIR = env.path("AUDIT_SEAL_KEYS_DIR", default=None)
AUDIT_SEAL_TOKEN = env.str("AUDIT_SEAL_TOKEN", default="")
AUDIT_SEAL_INTERVAL_SECONDS = env.float("AUDIT_SEAL_INTERVAL_SECONDS", default=1.0)
AUDIT_SEAL_BATCH_SIZE = 5000
AUDIT_ANCHOR_INTERVAL_SECONDS = env.int("AUDIT_ANCHOR_INTERVAL_SECONDS", default=60)
# No shorter than any log is kept: 36 months and what a month may be late.
AUDIT_ANCHOR_KEPT_DAYS = env.int("AUDIT_ANCHOR_KEPT_DAYS", default=1200)
AUDIT_STREAM_FILE = env.path("AUDIT_STREAM_FILE", default=None)
AUDIT_WITNESSES: list[str] = env.list("AUDIT_WITNESSES", default=[])
AUDIT_TSA_URL = env.str("AUDIT_TSA_URL", default="")
AUDIT_TSA_CERTIFICATE = env.path("AUDIT_TSA_CERTIFICATE", default=None)
AUDIT_DETAIL_KEPT_DAYS = env.int("AUDIT_DETAIL_KEPT_DAYS", default=365)

# Each month of each log goes there once it is over: s3://BUCKET/PREFIX or sftp://USER@HOST/FOLDER.
AUDIT_EXPORT_TO = env.str("AUDIT_EXPORT_TO", default="")
AUDIT_EXPORT_FORMAT = env.str("AUDIT_EXPORT_FORMAT", default="jsonl")
AUDIT_EXPORT_WORK_DIR = env.path("AUDIT_EXPORT_WORK_DIR", default=DATA_DIR / "exports")
AUDIT_EXPORT_KEY_FILE = env.path("AUDIT_EXPORT_KEY_FILE", default=None)
AUDIT_EXPORT_KNOWN_HOSTS_FILE = env.path("AUDIT_EXPORT_KNOWN_HOSTS_FILE", default=None)

CELERY_BEAT_SCHEDULE = {
    "purge": {
        "task": "retention.tasks.purge",
        "schedule": PURGE_INTERVAL_SECONDS,
        "options": {"expires": PURGE_INTERVAL_SECONDS},
    },
    "purge-quarantine": {
        "task": "retention.tasks.purge_quarantine",
        "schedule": PURGE_INTERVAL_SECONDS,
        "options": {"expires": PURGE_INTERVAL_SECONDS},
    },
    "undecided": {
        "task": "retention.tasks.tend_undecided",
        "schedule": 60,
        "options": {"expires": 60},
    },
    "mirror-holds": {
        "task": "retention.tasks.sweep_holds",
        "schedule": 60,
        "options": {"expires": 60},
    },
    "recompute-uses": {
        "task": "retention.tasks.recompute_uses",
        "schedule": 60,
        "options": {"expires": 60},
    },
    "simulations": {
        "task": "retention.tasks.run_simulations",
        "schedule": 60,
        "options": {"expires": 60},
    },
    "apply-criteria": {
        "task": "retention.tasks.apply_criteria",
        "schedule": 60,
        "options": {"expires": 60},
    },
    "lift-holds": {
        "task": "retention.tasks.lift_holds",
        "schedule": 60,
        "options": {"expires": 60},
    },
    "certificates": {
        "task": "retention.tasks.issue_certificates",
        "schedule": 60,
        "options": {"expires": 60},
    },
    "past-certificates": {
        "task": "retention.tasks.delete_past_certificates",
        "schedule": 86_400,
    },
    "past-events": {"task": "retention.tasks.delete_past_events", "schedule": 86_400},
    "audit-partitions": {"task": "audit.tasks.create_partitions", "schedule": 86_400},
    "audit-verify": {"task": "audit.tasks.verify_logs", "schedule": 86_400},
    "audit-monthly-export": {"task": "audit.tasks.deliver_months", "schedule": 86_400},
    "audit-details": {"task": "audit.tasks.erase_past_details", "schedule": 86_400},
}

# Reminders of what waits for a decision; without a server they wait, and that is red on a page.
EMAIL_HOST = env.str("EMAIL_HOST", default="localhost")
EMAIL_PORT = env.int("EMAIL_PORT", default=25)
EMAIL_HOST_USER = env.str("EMAIL_HOST_USER", default="")
EMAIL_HOST_PASSWORD = env.str("EMAIL_HOST_PASSWORD", default="")
EMAIL_USE_TLS = env.bool("EMAIL_USE_TLS", default=False)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env.str("EMAIL_FROM", default=f"tallenne@{urlsplit(BASE_URL).hostname}")
if DEMO:
    EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    EMAIL_FILE_PATH = DATA_DIR / "mail"

# --- Who signs in --------------------------------------------------------------------------------

AUTHENTICATION_BACKENDS = [
    "accounts.backends.RoleBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_RATE_LIMITS = {"login_failed": "5/5m/key,20/5m/ip"}
ALLAUTH_TRUSTED_PROXY_COUNT = env.int("TRUSTED_PROXY_COUNT", default=0)
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
USERSESSIONS_TRACK_ACTIVITY = False

SESSION_COOKIE_AGE = 8 * 3600
SESSION_IDLE_SECONDS = 30 * 60
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
# The demo is served over plain HTTP on loopback, where browsers refuse __Host- cookies.
SESSION_COOKIE_NAME = "tallenne_session" if DEMO else "__Host-session"
SESSION_COOKIE_SECURE = not DEMO
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_NAME = "tallenne_csrf" if DEMO else "__Host-csrf"
CSRF_COOKIE_SECURE = not DEMO
CSRF_COOKIE_HTTPONLY = True
LANGUAGE_COOKIE_SECURE = not DEMO
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEMO)
SECURE_HSTS_SECONDS = 0 if DEMO else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = not DEMO
SECURE_HSTS_PRELOAD = not DEMO
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if ALLAUTH_TRUSTED_PROXY_COUNT else None
)
# no-referrer breaks POST in Chromium: Origin is then "null".
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF, NONCE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "media-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    },
}
PERMISSIONS_POLICY: dict[str, list[str]] = {
    feature: []
    for feature in ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
}

# --- Languages and time --------------------------------------------------------------------------

LANGUAGE_CODE = "fi"
LANGUAGES = [("fi", _("Finnish")), ("sv", _("Swedish")), ("en", _("English"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["config.formats"]
LANGUAGE_COOKIE_NAME = "tallenne_language"
USE_I18N = True
USE_TZ = True
TIME_ZONE = "Europe/Helsinki"

STATIC_URL = "static/"
STATIC_ROOT = env.path("STATIC_ROOT", default=BASE_DIR / ".data" / "static")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "servestatic.storage.CompressedManifestStaticFilesStorage"},
}
SERVESTATIC_USE_FINDERS = DEMO
SERVESTATIC_AUTOREFRESH = False

LOGGING_CONFIG = "config.logs.configure"
LOGGING = {"level": env.str("LOG_LEVEL", default="INFO")}  # empty, Django would not call it
