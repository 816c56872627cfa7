"""`flashback-exporter demo`: the exporter against a simulator, without account or network."""

import asyncio
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import socket
from tempfile import TemporaryDirectory

from exporter.clock import SystemClock
from exporter.config.sections import Config
from exporter.daemon import Exporter
from exporter.demo.company import Company
from exporter.demo.simulator import EMAIL, PASSWORD, Simulator
from exporter.lines import Lines
from exporter.serve import application, run
from exporter.web.access import Access
from exporter.web.connections import Connections
from exporter.web.server import addresses, bind, serving

NOTICE = (
    "This is a demo: the data is made up by a simulator on this machine."
    " No account and no network are used."
)


def demo_config(port: int, state_file: Path | None = None) -> Config:
    """Return the configuration of the demo, for a simulator on a port of loopback."""
    return Config.model_validate(
        {
            "api": {
                "base_url": f"http://127.0.0.1:{port}",
                "login": {"email": EMAIL, "password": PASSWORD},
            },
            "poll": {"interval": "15s"},
            "state": {"file": state_file},
            "queries": [
                {"name": "default"},
                {
                    "name": "users",
                    "interval": "30s",
                    "filters": {"llm_type": ["openai", "anthropic"]},
                    "labels": ["llm_type", "user_uuid"],
                    "metrics": ["api_calls", "input_tokens", "output_tokens", "policy_violations"],
                },
            ],
        }
    )


async def run_demo(
    sockets: list[socket], access: Access, *, telemetry_path: str, lifecycle: bool
) -> None:
    """Serve the demo on sockets that listen, until the process is asked to end.

    It keeps its state in a temporary file, where there is room for one.
    """
    with ExitStack() as files:
        state_file = None
        with suppress(OSError):
            folder = files.enter_context(TemporaryDirectory(prefix="flashback-exporter-"))
            state_file = Path(folder) / "state.db"
        await _run(sockets, access, state_file, telemetry_path, lifecycle=lifecycle)


async def _run(
    sockets: list[socket],
    access: Access,
    state_file: Path | None,
    telemetry_path: str,
    *,
    lifecycle: bool,
) -> None:
    clock = SystemClock()
    scheme = "https" if access.tls else "http"
    simulator = Simulator(Company(), clock)
    api_sockets = bind(("127.0.0.1", 0))
    # One limit of file descriptors for both servers.
    connections = Connections()
    api = serving(simulator.app, connections)
    api_task = asyncio.create_task(api.serve(sockets=api_sockets), name="simulator")
    config = demo_config(api_sockets[0].getsockname()[1], state_file)
    exporter = await Exporter.create(config, lambda: config, clock)
    app = application(exporter, telemetry_path=telemetry_path, lifecycle=lifecycle, notice=NOTICE)

    def greet(places: list[str]) -> None:
        output = Lines(sys.stdout)
        output.write(f"\n{NOTICE}\n")
        for place in places:
            where = f"{scheme}://{place}"
            output.write(f"  page     {where}/\n  metrics  {where}{telemetry_path}")
        output.write(f"  API      http://{addresses(api_sockets)[0]}  (the simulator)")
        output.write("\nCtrl-C ends it.\n")

    await run(exporter, serving(app, connections, access), sockets, greet)
    api.should_exit = True
    await api_task
