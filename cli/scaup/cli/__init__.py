"""The command ``scaup``: everything on one machine (``up``), and the hands for definitions, events and dead letters."""
