"""The web application: /metrics, the page for people, health, readiness and reload."""

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter.clock import Clock
from exporter.daemon import Exporter
from exporter.errors import ConfigError
from exporter.web.page import Page, Timing, render_page
from exporter.web.sending import Readers, ReadyBytes

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def create_app(
    exporter: Exporter,
    clock: Clock,
    *,
    telemetry_path: str = "/metrics",
    lifecycle: bool = False,
    notice: str = "",
) -> Starlette:
    """Return the web application of a running exporter. `notice` is shown on top of the page."""
    readers = Readers()

    async def metrics(request: Request) -> Response:
        view = await exporter.current()
        openmetrics = prefers_openmetrics(request.headers.getlist("accept"))
        rest = exporter.own_metrics.render(openmetrics)
        compressed = accepts_gzip(request.headers.getlist("accept-encoding"))
        pieces = view.exposition.compressed(rest) if compressed else (*view.exposition.plain, rest)
        media_type, encoding = OPENMETRICS if openmetrics else TEXT, "gzip" if compressed else ""
        return ReadyBytes(pieces, view.edition, readers, media_type, encoding)

    async def page(_: Request) -> Response:
        view = await exporter.current()
        scheduler = exporter.scheduler
        timings = {
            name: Timing(scheduler.polling(name), scheduler.seconds_to_next_poll(name))
            for name in view.states
        }
        content = Page(
            view,
            timings,
            exporter.token_expires_at,
            exporter.reload_successful,
            exporter.reloaded_at,
            notice,
        )
        return HTMLResponse(render_page(content, clock, telemetry_path), headers=_PAGE_HEADERS)

    async def healthy(_: Request) -> Response:
        if exporter.scheduler.alive:
            return PlainTextResponse("Healthy.\n")
        return PlainTextResponse("The scheduler does not run.\n", 503)

    async def ready(_: Request) -> Response:
        if waiting := exporter.waiting_for:
            return PlainTextResponse(f"Waiting for the first poll of: {', '.join(waiting)}.\n", 503)
        return PlainTextResponse("Ready.\n")

    async def reload(_: Request) -> Response:
        if not lifecycle:
            return PlainTextResponse(
                "Reloading over HTTP is off; --web.enable-lifecycle turns it on.\n", 403
            )
        try:
            await exporter.reload()
        except ConfigError as error:
            return PlainTextResponse(f"The configuration was not reloaded:\n{error}\n", 500)
        return PlainTextResponse("The configuration was reloaded.\n")

    routes = [
        Route(telemetry_path, metrics),
        Route("/", page),
        Route("/-/healthy", healthy),
        Route("/-/ready", ready),
        Route("/-/reload", reload, methods=["POST"]),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app


def prefers_openmetrics(accept: Sequence[str]) -> bool:
    """Whether Accept headers rank OpenMetrics (in a version up to 1.0.0) above the text format."""
    wanted = {"openmetrics": 0.0, "text": 0.0}
    for media, options, quality in _choices(accept):
        if media == "application/openmetrics-text" and options.get("version", "1.0.0") in (
            "1.0.0",
            "0.0.1",
        ):
            wanted["openmetrics"] = max(wanted["openmetrics"], quality)
        elif media == "text/plain":
            wanted["text"] = max(wanted["text"], quality)
    return wanted["openmetrics"] > 0 and wanted["openmetrics"] >= wanted["text"]


def accepts_gzip(accept_encoding: Sequence[str]) -> bool:
    """Whether Accept-Encoding headers allow gzip."""
    qualities = {coding: quality for coding, _, quality in _choices(accept_encoding)}
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _choices(headers: Sequence[str]) -> list[tuple[str, dict[str, str], float]]:
    """Return the entries of an Accept header: name, options and quality."""
    choices = []
    for entry in ",".join(headers).split(","):
        name, *options = (part.strip().lower() for part in entry.split(";"))
        values = {
            key.strip(): value.strip(' "')
            for key, _, value in (option.partition("=") for option in options)
        }
        try:
            quality = float(values.get("q", "1"))
        except ValueError:
            quality = 0.0
        choices.append((name, values, quality))
    return choices
