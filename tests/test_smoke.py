from exporter.client import FlashbackClient
from exporter.poller import Poll
from exporter.settings import Query


async def test_a_poll_against_the_simulator(api, clock):
    """A poll of the simulator gives groups."""
    client = FlashbackClient(api.config().api, clock, lambda *_: None)
    outcome = await Poll(Query(), 2, 60, client, clock).run()
    await client.aclose()
    assert outcome.snapshot is not None
    assert len(outcome.snapshot.groups) > 200
