"""The command ``scaup``: everything on one machine (``up``), and the hands for definitions, events and dead letters."""

import scaup.core  # noqa: F401 - before all others, for what it leaves out of them
