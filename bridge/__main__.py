"""``python -m bridge`` is the command ``zoobridge``."""

from bridge.cli import main

raise SystemExit(main())
