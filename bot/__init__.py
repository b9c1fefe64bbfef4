"""Where people meet an incident: commands and reactions in, the timeline posted to threads."""
