"""Telegram: an incident as a forum topic or a chain of replies, its questions answered there."""
