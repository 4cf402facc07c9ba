"""Filter dialects, compiled to predicates over an event's attributes. Pure functions."""
