# One image for web, workers, beat and set-up; which it is says the command. Untried: see
# docs/how-to/deploy.md.
FROM python:3.11-slim-bookworm AS build
WORKDIR /app
RUN apt-get -qq update \
    && apt-get -qq install --yes --no-install-recommends gettext \
    && rm -rf /var/lib/apt/lists/*
COPY requirements.txt .
RUN python -m venv /venv \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.txt
COPY . .
# Settings ask for these; nothing is contacted.
ENV SECRET_KEY=build DATABASE_URL=postgresql://127.0.0.1:9/none REDIS_URL=redis://127.0.0.1:9/0 \
    STATIC_ROOT=/app/static
RUN /venv/bin/python manage.py compilemessages --ignore=.venv \
    && /venv/bin/python manage.py collectstatic --noinput --verbosity=0

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/tallenne --create-home tallenne \
    && install -d -o tallenne -g tallenne -m 0700 /var/lib/tallenne/keys /var/lib/tallenne/exports \
        /var/lib/tallenne/beat
COPY --from=build /venv /venv
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    DJANGO_SETTINGS_MODULE=config.settings STATIC_ROOT=/app/static
USER tallenne
EXPOSE 8000
CMD ["granian", "--interface=asginl", "--host=0.0.0.0", "--port=8000", "--workers=2", "--no-ws", "config.asgi:application"]
