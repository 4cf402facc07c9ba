"""What every process needs around its story: settings, logs, metrics, life cycle, definitions."""
