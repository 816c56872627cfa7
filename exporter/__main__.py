"""`python -m exporter` is `flashback-exporter`."""

from exporter.cli import main

raise SystemExit(main())
