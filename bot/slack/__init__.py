"""Slack: what people say there comes in, and what the timeline tells goes out."""
