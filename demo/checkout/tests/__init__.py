"""The tests of the service: `python -m unittest -q`, standard library only."""
