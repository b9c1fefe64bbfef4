"""What each role starts from, what it may submit, and how that becomes a report."""
