"""The roads of a fix back to the release branch; see README.md."""
