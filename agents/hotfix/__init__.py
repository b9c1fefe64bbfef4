"""The hotfix protocol in a working tree: a tracker file in, an uncommitted fix out."""
