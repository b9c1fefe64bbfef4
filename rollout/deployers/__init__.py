"""The ways a revision reaches production; see README.md."""
