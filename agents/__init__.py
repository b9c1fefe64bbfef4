"""The roles that diagnose, patch, test and review in a sandboxed checkout, and their engines."""
