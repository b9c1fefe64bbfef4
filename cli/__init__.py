"""The `halon` command: the only place that chooses concrete classes and starts processes."""
