"""Broker, store and database are taken away in the middle: nothing is lost, all goes on soon."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import redis
from django.conf import settings
from django.db import InterfaceError, OperationalError, connections, transaction
from django.test import Client
from django.urls import reverse

from bench.centre import Centre
from bench.measuring import Scale
from bench.streaming import BACKEND
from config.servers import postgresql, seaweedfs, valkey
from config.servers.process import Process
from faults.company import NO_BRAKE, Company, is_all_gone, killables, wait_until
from faults.outcome import Outcome
from recordings.models import Conversation, StoredObject
from recordings.objectstore import StoreError
from tests.harness.worker import Worker, ring, working

ITEMS = {Scale.SMALL: 60, Scale.FULL: 500}
STORE_KILLS = 4
TASK = "retention.tasks.purge"
SWEEP_SECONDS = 120.0
RESUMED_SECONDS = 30.0
WORKING = {"PURGE_BATCH_SIZE": "5", **{name: str(value) for name, value in NO_BRAKE.items()}}


def run(centre: Centre, scale: Scale) -> Iterator[Outcome]:
    """Take them away, one after another."""
    company = Company(centre)
    yield _broker_emptied(company, scale)
    yield _broker_killed(centre, company, scale)
    yield _database_restarted(company, scale)
    yield _store_killed(company, scale)


def _broker_emptied(company: Company, scale: Scale) -> Outcome:
    """Emptied, and the worker killed: the next bell has it all done."""
    due = company.capture(ITEMS[scale])
    with working(company.stage, "purge", **WORKING) as worker:
        ring(TASK)
        wait_until(lambda: _gone(due) > 0)
        redis.Redis.from_url(str(settings.REDIS_URL)).flushall()
        left = len(due) - _gone(due)
        worker.kill()
    with working(company.stage, "purge", **WORKING):
        ring(TASK)
        spent = wait_until(lambda: _gone(due) == len(due))
    company.finish()
    account = company.account(due)
    return Outcome(
        "broker_emptied",
        is_all_gone(account, of=len(due)) and spent <= SWEEP_SECONDS and left > 0,
        {"items": len(due), "left_then": left, "done_after_s": round(spent, 1), **account},
    )


def _broker_killed(centre: Centre, company: Company, scale: Scale) -> Outcome:
    due = company.capture(ITEMS[scale])
    broker = _process(company, "Valkey")
    with working(company.stage, "purge", **WORKING) as worker:
        ring(TASK)
        wait_until(lambda: _gone(due) > 0)
        _kill(broker)
        with company.stage.acting_as("web"):
            page, login = _pages(centre)
        broker.start()
        broker.wait_until(
            lambda: valkey.answers(
                port=company.stage.servers.ports["valkey"],
                password=company.stage.servers.secrets.get("valkey"),
            ),
            timeout_seconds=valkey.START_SECONDS,
        )
        spent = _rung_until(lambda: _gone(due) == len(due), worker)
    company.finish()
    account = company.account(due)
    return Outcome(
        "broker_killed",
        is_all_gone(account, of=len(due)) and page == 200 and login == 503,
        {
            "items": len(due),
            "page_meanwhile": page,
            "login_meanwhile": login,
            "done_after_s": round(spent, 1),
            **account,
        },
    )


def _pages(centre: Centre) -> tuple[int, int]:
    """How a page of who is signed in is answered, and an attempt to sign in."""
    client = Client(raise_request_exception=False)
    client.force_login(centre.reader_of_five, backend=BACKEND)
    page = client.get(reverse("recordings:conversations")).status_code
    attempt = {"login": "five@example.com", "password": "not her password"}
    return page, Client(raise_request_exception=False).post(
        reverse("account_login"), attempt
    ).status_code


def _database_restarted(company: Company, scale: Scale) -> Outcome:
    due = company.capture(ITEMS[scale])
    database = _process(company, "PostgreSQL")
    secrets, ports = company.stage.servers.secrets, company.stage.servers.ports
    with working(company.stage, "purge", **WORKING) as worker:
        ring(TASK)
        wait_until(lambda: _gone(due) > 0)
        # SIGQUIT: at once, and recovering from its log of changes afterwards.
        _kill(database, signal.SIGQUIT)
        connections.close_all()
        database.start()
        database.wait_until(
            lambda: postgresql.answers(
                f"127.0.0.1:{ports['postgresql']}",
                password=secrets.get("postgresql-superuser"),
            ),
            timeout_seconds=postgresql.START_SECONDS,
        )
        before = _gone(due)
        resumed = _rung_until(lambda: _gone(due) > before, worker)
        _rung_until(lambda: _gone(due) == len(due), worker)
    company.finish()
    account = company.account(due)
    return Outcome(
        "database_restarted",
        is_all_gone(account, of=len(due)) and resumed <= RESUMED_SECONDS and before < len(due),
        {
            "items": len(due),
            "left_then": len(due) - before,
            "resumed_after_s": round(resumed, 1),
            **account,
        },
    )


def _store_killed(company: Company, scale: Scale) -> Outcome:
    """The store is killed while conversations are captured and others destroyed."""
    store = _process(company, seaweedfs.NAME)
    s3 = company.stage.servers.s3("admin")
    due = company.capture(ITEMS[scale])
    kept: list[Conversation] = []
    refused, stop = [0], threading.Event()

    def capture() -> None:
        while not stop.is_set():
            try:
                with transaction.atomic():
                    made = company.keep(1)
                kept.extend(made)
            except StoreError:
                refused[0] += 1
        connections.close_all()

    capturing = threading.Thread(target=capture)
    capturing.start()
    chance, slowest = random.Random(13), 0.0
    left: list[int] = []
    try:
        with killables(company) as (killable,):
            for _ in range(STORE_KILLS):
                if _waiting(due) < ITEMS[scale] // 2:
                    with transaction.atomic():
                        due += company.capture(ITEMS[scale] // 2)
                settings_of_it = {"PURGE_BATCH_SIZE": 5, **NO_BRAKE}
                killable.start(database_url=company.url, settings=settings_of_it)
                before = _gone(due)
                wait_until(partial(_more_gone, due, before))
                time.sleep(chance.uniform(0.0, 0.5))
                _kill(store)
                left.append(_waiting(due))
                killable.wait()
                store.start()
                store.wait_until(
                    lambda: seaweedfs.answers(s3), timeout_seconds=seaweedfs.START_SECONDS
                )
                before, answered_at = _gone(due), time.monotonic()
                while _gone(due) == before:
                    killable.start(database_url=company.url, settings=settings_of_it)
                    killable.wait()
                slowest = max(slowest, time.monotonic() - answered_at)
    finally:
        stop.set()
        capturing.join()
    company.finish()
    account = company.account(due)
    ids = [one.pk for one in kept]
    rows = StoredObject.objects.filter(conversation__in=ids).values_list("key", "version_id")
    there = {tuple(version[:2]) for one in kept for version in company.versions_of(one)}
    unreadable = sum(not company.content.get(key, version) for key, version in rows)
    return Outcome(
        "store_killed",
        is_all_gone(account, of=len(due))
        and set(rows) <= there
        and not unreadable
        and slowest <= RESUMED_SECONDS
        and min(left) > 0,
        {
            "items": len(due),
            "kills": STORE_KILLS,
            "captured_meanwhile": len(kept),
            "captures_refused": refused[0],
            "captured_and_lost": len(set(rows) - there) + unreadable,
            "slowest_to_resume_s": round(slowest, 1),
            **account,
        },
    )


def _gone(due: list[Conversation]) -> int:
    with suppress(OperationalError, InterfaceError):
        return Conversation.objects.filter(
            pk__in=[one.pk for one in due], state=Conversation.State.DESTROYED
        ).count()
    connections.close_all()
    return 0


def _more_gone(due: list[Conversation], before: int) -> bool:
    return _gone(due) > before


def _waiting(due: list[Conversation]) -> int:
    return len(due) - _gone(due)


def _rung_until(is_so: Callable[[], bool], worker: Worker) -> float:
    """Ring each second, as a timetable would less often, until it is so; gives the seconds."""
    began = time.monotonic()
    while True:
        worker.process.check_alive()
        with suppress(OSError, redis.RedisError):
            ring(TASK)
        with suppress(TimeoutError):
            wait_until(is_so, seconds=1.0)
            return time.monotonic() - began
        if time.monotonic() - began > SWEEP_SECONDS:
            raise TimeoutError("The worker did not go on.")


def _process(company: Company, name: str) -> Process:
    return next(each for each in company.stage.servers.processes if each.name == name)


def _kill(process: Process, how: signal.Signals = signal.SIGKILL) -> None:
    """End a server, and wait until it is gone."""
    os.kill(process.pid, how)
    assert process._child is not None
    process._child.wait(timeout=30)
