"""What tests share: a real nats-server, waiting without sleeping, factories of events and definitions."""
