"""What an incident is, how it moves and what is recorded of it: rules, store and timeline."""
