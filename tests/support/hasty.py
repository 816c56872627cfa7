"""An exporter whose time passes a thousand times faster: `python hasty.py <API> <state file>`.

Series that a start finds in the file may grow after two minutes, so that tests would take long.
Each POST to /-/reload brings a poll.
"""

import asyncio
import sys

from growing import configured

from exporter.clock import SystemClock
from exporter.daemon import Exporter
from exporter.serve import application, run
from exporter.web.access import Access
from exporter.web.server import bind, serving


class HastyClock(SystemClock):
    """The machine's clocks, of which one runs fast."""

    def monotonic(self):
        return super().monotonic() * 1000


async def main(base_url, state_file):
    load = configured(base_url, state_file)
    sockets = bind(("127.0.0.1", 0))
    exporter = await Exporter.create(load(), load, HastyClock())
    app = application(exporter, lifecycle=True)
    await run(
        exporter,
        serving(app, access=Access(None)),
        sockets,
        lambda places: print(*places, flush=True),
    )


asyncio.run(main(*sys.argv[1:]))
