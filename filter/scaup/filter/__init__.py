"""Decides who gets an event. Holds nothing durable: any replica can answer, or die."""

import scaup.core  # noqa: F401 - before all others, for what it leaves out of them
