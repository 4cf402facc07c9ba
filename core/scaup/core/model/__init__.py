"""What things *are*: frozen values and pure functions. No event loop, no network, no clock."""
