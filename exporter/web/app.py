"""The web application: /metrics, the page for people, health, readiness and reload."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from exporter.errors import ConfigError
from exporter.output.publication import Publication
from exporter.output.status import Status
from exporter.output.telemetry import OwnMetrics
from exporter.web.negotiation import accepts_gzip, preferred_format
from exporter.web.page import render_page
from exporter.web.sending import Readers, ReadyBytes, compressed, plain

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
_PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True)
class Site:
    """What the web application shows, and the answers to each kind of request.

    `lifecycle` allows to reload over HTTP; `notice` is shown on top of the page.
    """

    publication: Publication
    own_metrics: OwnMetrics
    status: Callable[[], Status]
    reload: Callable[[], Awaitable[None]]
    telemetry_path: str = "/metrics"
    lifecycle: bool = False
    notice: str = ""
    _readers: Readers = field(default_factory=Readers)

    async def answer_metrics(self, request: Request) -> Response:
        """Send the statistics as they were rendered, and the own metrics after them."""
        view = await self.publication.current()
        chosen = preferred_format(request.headers.getlist("accept"))
        rest = self.own_metrics.render(self.status(), chosen)

        if accepts_gzip(request.headers.getlist("accept-encoding")):
            body = compressed(view.exposition, chosen, rest)
        else:
            body = plain(view.exposition, chosen, rest)
        return ReadyBytes(body, view.edition, self._readers, chosen.media_type)

    async def answer_page(self, _: Request) -> Response:
        """Show the page for people."""
        await self.publication.current()
        html = render_page(self.status(), self.telemetry_path, self.notice)
        return HTMLResponse(html, headers=_PAGE_HEADERS)

    async def answer_healthy(self, _: Request) -> Response:
        """Say whether anything will be polled at all."""
        if self.status().scheduler_alive:
            return PlainTextResponse("Healthy.\n")
        return PlainTextResponse("The scheduler does not run.\n", 503)

    async def answer_ready(self, _: Request) -> Response:
        """Say whether every query has been polled."""
        if waiting := self.status().waiting_for:
            return PlainTextResponse(f"Waiting for the first poll of: {', '.join(waiting)}.\n", 503)
        return PlainTextResponse("Ready.\n")

    async def answer_reload(self, _: Request) -> Response:
        """Reload the configuration, where that is allowed."""
        if not self.lifecycle:
            text = "Reloading over HTTP is off; --web.enable-lifecycle turns it on.\n"
            return PlainTextResponse(text, 403)
        try:
            await self.reload()
        except ConfigError as error:
            return PlainTextResponse(f"The configuration was not reloaded:\n{error}\n", 500)
        return PlainTextResponse("The configuration was reloaded.\n")


def create_app(site: Site) -> Starlette:
    """Return the web application."""
    routes = [
        Route(site.telemetry_path, site.answer_metrics),
        Route("/", site.answer_page),
        Route("/-/healthy", site.answer_healthy),
        Route("/-/ready", site.answer_ready),
        Route("/-/reload", site.answer_reload, methods=["POST"]),
    ]
    app = Starlette(routes=routes)
    app.router.redirect_slashes = False
    return app
