"""The application: routes, pages, the hub and the outer wall put together.

Law: what is built here serves what it was given and reaches for nothing else; it never leaves the host.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from monitor.config import Configuration
from monitor.web import admin, care, drills, entry, limits, live, pages, records, start_up, whatif
from monitor.web.desk import Archive, Desk
from monitor.web.gate import Gate
from monitor.web.house import LABEL, House, Options
from monitor.web.hub import Hub
from monitor.web.ledger import Ledger
from monitor.web.seats import Doorkeeper
from monitor.web.users import Users, signing_key

try:
    VERSION = version("afterwatch")
except PackageNotFoundError:  # run from a bare tree
    VERSION = "0"


class Site(FastAPI):
    """The application, with its hub: the loop calls ``hub.changed()`` when a bed changed."""

    hub: Hub
    house: House


def build(desk: Desk, archive: Archive, configuration: Configuration, users: Users, **options: Any) -> Site:
    """Return the application.

    Args:
        desk: the loop, as the pages see it.
        archive: what was kept.
        configuration: the clinic's configuration.
        users: who may come in; the signing key and the ledger lie beside its file.
        options: fields of `monitor.web.house.Options` by name, such as ``exports`` and ``drills``.
    """
    folder = users.path.parent
    chosen = Options(**options)
    hub = Hub(desk, _fixed(configuration))
    house = House(
        desk,
        archive,
        configuration,
        users,
        Doorkeeper(users, signing_key(folder / "cookie.key")),
        hub,
        Ledger(chosen.ledger or folder / "access.jsonl"),
        chosen,
    )
    site = Site(
        title="Afterwatch",
        version=VERSION,
        summary="Vital signs while ketamine is given.",
        description=LABEL,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(hub),
    )
    site.hub, site.house = hub, house
    _furnish(site, house)
    return site


def _fixed(configuration: Configuration) -> dict[str, Any]:
    site = configuration.clinic.site
    return {
        "site": site.name,
        "zone": site.zone,
        "labels": {
            one.id: {"label": one.label or one.id, "room": one.room} for one in configuration.ward.beds
        },
    }


def _furnish(site: Site, house: House) -> None:
    for room in (live, entry):
        site.include_router(room.routes(house), prefix="/api/v1")
    # Who asks is judged before what they sent: a stranger learns nothing about the forms.
    for room in (care, start_up, limits, records, whatif, drills, admin):
        site.include_router(room.routes(house), prefix="/api/v1", dependencies=[Depends(house.seat)])
    site.include_router(_protocols(house), prefix="/api/v1")
    site.include_router(_machines(house))
    site.include_router(pages.routes(house))
    site.mount(pages.static_path(), StaticFiles(directory=pages.STATIC), name="static")
    site.add_exception_handler(Exception, _failed)
    site.add_middleware(Gate, public_url=house.configuration.clinic.web.public_url)


def _lifespan(hub: Hub) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        beating = asyncio.create_task(hub.run())
        yield
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating

    return lifespan


async def _failed(_: Request, fault: Exception) -> Response:
    """Answer a fault of ours without telling its inside (ASVS V16.5.2)."""
    return JSONResponse(
        {"detail": f"the monitor failed at this ({type(fault).__name__}); nothing was done"}, 500
    )


def _protocols(house: House) -> APIRouter:
    router = APIRouter(tags=["protocols"])

    @router.get("/protocols", summary="The protocols a session can start from")
    def protocols(request: Request) -> dict[str, Any]:
        house.reader(request, "view")
        return {
            "protocols": [
                {
                    "name": one.name,
                    "title": one.title,
                    "route": one.route,
                    "version": one.version,
                    "reviewed_by": one.reviewed_by,
                    "digest": one.digest,
                }
                for one in house.configuration.protocols.values()
            ]
        }

    return router


def _machines(house: House) -> APIRouter:
    """Return what other machines ask: health and figures. No patient is in either."""
    router = APIRouter(include_in_schema=False)

    @functools.cache
    def told() -> Callable[[], bytes]:
        from monitor.web.figures import figures  # a start needs not wait for its library

        return figures(house)

    @router.get("/healthz")
    def healthz() -> Response:
        health = dict(house.desk.health())
        well = bool(health.get("ok", True))
        return JSONResponse({"ok": well, "version": VERSION}, 200 if well else 503)

    @router.get("/metrics")
    def metrics() -> Response:
        return Response(told()(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router
