"""A model that follows a script: a small server of the Messages API on loopback, and a player."""
