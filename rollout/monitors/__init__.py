"""The sources of counts per version; see README.md."""
