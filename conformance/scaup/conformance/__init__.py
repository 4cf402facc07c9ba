"""The conformance suite, for any broker: a row for every sentence of the specifications."""
