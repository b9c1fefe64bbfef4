"""The ways to run a repository's code away from the host; chosen in agents/sandbox.py."""
