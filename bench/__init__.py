"""The figures: what Halon costs and how often it is right, each beside its anchor."""
