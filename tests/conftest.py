"""Fixtures for every test: the servers, a database, roles to act as, people at their browsers."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness import databases, session

if TYPE_CHECKING:
    from accounts.models import Controller, User
    from audit.sealing_keys import SealingKeys
    from config.servers import Servers
    from tests.factories import Centre
    from tests.harness.databases import Clones
    from tests.harness.roles import Role, Stage
    from tests.harness.visitors import Visitor


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers and Django before test modules are imported: they import models."""
    if config.option.help or config.option.version:
        return
    if session.begin():
        databases.drop_left_behind(session.servers())
    import django
    from django.conf import settings

    # Static files are named, not served: that takes 30 ms for each client that is made. The
    # browser tests have the real thing.
    settings.STORAGES["staticfiles"] = {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
    }
    settings.SERVESTATIC_USE_FINDERS = False
    settings.SERVESTATIC_USE_STATIC_ROOT = False
    settings.PASSWORD_HASHERS = ["tests.harness.hashing.CheapArgon2"]
    django.setup()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what drives a browser, which takes longest: at the end what is short is shared."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


def pytest_collection_finish() -> None:
    """Leave what is loaded by now out of every later search for garbage."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """End the servers, if nobody else needs them."""
    session.end()


@pytest.fixture(scope="session")
def servers() -> Servers:
    """The three servers of this run."""
    return session.servers()


@pytest.fixture(scope="session")
def clones(servers: Servers) -> Iterator[Clones]:
    """Ready databases."""
    from tests.harness.databases import Clones, template

    made = Clones(servers, source=template(servers))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="session")
def furnished(
    servers: Servers, clones: Clones, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Centre, Clones]]:
    """The contact centre, made once, and ready databases that have it."""
    from tests import factories
    from tests.harness.databases import Clones
    from tests.harness.roles import Stage

    stage = Stage(servers, clones.another(), tmp_path_factory.mktemp("keyring"))
    with stage.opened():
        made = factories.centre(stage)
    copies = Clones(servers, source=stage.database)
    copies.start()
    yield made, copies
    copies.stop()


@pytest.fixture(scope="session")
def with_companies(
    servers: Servers, clones: Clones, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Clones]:
    """Ready databases that have two companies: a log that is opened makes tables of its own."""
    from tests import factories
    from tests.harness.databases import Clones
    from tests.harness.roles import Stage

    stage = Stage(servers, clones.another(), tmp_path_factory.mktemp("keyring"))
    with stage.opened():
        for name in ("Vakka", "Onni"):
            factories.company(name)
    copies = Clones(servers, source=stage.database)
    copies.start()
    yield copies
    copies.stop()


@pytest.fixture
def stage(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Iterator[Stage]:
    """A database and a keyring of this test's own; arrangement runs as the database's owner."""
    from recordings.keyring import FileKeyring
    from tests.harness.roles import Stage

    clones: Clones
    if "centre" in request.fixturenames:
        _centre, clones = request.getfixturevalue("furnished")
    elif "companies" in request.fixturenames:
        clones = request.getfixturevalue("with_companies")
    else:
        clones = request.getfixturevalue("clones")
    keys = tmp_path / "keyring"
    FileKeyring.prepare(keys)
    made = Stage(servers, clones.take(), keys)
    with made.opened():
        yield made
    clones.give_back(made.database)


@pytest.fixture
def database(stage: Stage) -> str:
    """The name of this test's own database, to which Django is connected as its owner."""
    return stage.database


@pytest.fixture
def db(database: str) -> str:
    """The same, by the name that is usual with pytest and Django."""
    return database


@pytest.fixture(autouse=True)
def _database_if_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("django_db"):
        request.getfixturevalue("database")


@pytest.fixture
def acting_as(stage: Stage) -> Callable[[Role], AbstractContextManager[None]]:
    """Within `with acting_as("web"):` this process has that role's rights and no others."""
    return stage.acting_as


@pytest.fixture
def signed_in(stage: Stage) -> Callable[[User], Visitor]:
    """Give the browser of a person who has signed in."""
    from tests.harness.visitors import Visitor

    return lambda user: Visitor(stage, user)


@pytest.fixture
def sealer(stage: Stage) -> Iterator[SealingKeys]:
    """A sealer that runs beside the test, and the keys it signs with."""
    from tests.harness.sealer import sealed_meanwhile

    with sealed_meanwhile(stage.keys.parent / "seal-keys") as keys:
        yield keys


@pytest.fixture
def companies(stage: Stage) -> dict[str, Controller]:
    """Vakka and Onni, which have nothing but a log of their own."""
    from accounts.models import Controller

    return {company.name: company for company in Controller.objects.all()}


@pytest.fixture
def visitor(stage: Stage) -> Visitor:
    """The browser of somebody who has not signed in."""
    from tests.harness.visitors import Visitor

    return Visitor(stage)


@pytest.fixture
def centre(furnished: tuple[Centre, Clones], stage: Stage) -> Centre:
    """A contact centre of two companies: see tests.factories.Centre for who is who."""
    original = furnished[0]
    return copy.deepcopy(original, {id(original.stage): stage})
