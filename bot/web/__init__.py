"""The war room: the page, its live stream, and the platform `web` of the poster."""
