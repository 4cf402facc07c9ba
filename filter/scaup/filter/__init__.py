"""Decides who gets an event. Holds nothing durable: any replica can answer, or die."""
