"""The conformance suite, for any broker: a row for every sentence of the specifications."""

import scaup.core  # noqa: F401 - before all others, for what it leaves out of them
