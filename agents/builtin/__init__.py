"""The engine without a model: deterministic triage, suspects, proofs and remedies.

Played by the roles when no model is configured, and the source of the evidence a model starts from.
It reads hostile text; nothing in it ever becomes a command, a pattern or a path to open.
"""
