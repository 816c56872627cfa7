"""The two formats of a scrape. Their sample lines are the same; what stands around them differs."""

from dataclasses import dataclass

from exporter.metrics import Family


@dataclass(frozen=True, slots=True)
class Format:
    """One format: its media type, what a counter is called above its samples, and its end."""

    media_type: str
    counter_suffix: str
    end: bytes

    def head(self, family: Family) -> bytes:
        """Return the lines that stand above the samples of a family."""
        name = family.name
        if family.type == "counter":
            name += self.counter_suffix
        return f"# HELP {name} {family.help}\n# TYPE {name} {family.type}\n".encode()


TEXT = Format("text/plain; version=0.0.4; charset=utf-8", "_total", b"")
OPENMETRICS = Format("application/openmetrics-text; version=1.0.0; charset=utf-8", "", b"# EOF\n")
FORMATS = (TEXT, OPENMETRICS)
