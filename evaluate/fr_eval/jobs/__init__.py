"""What `fr-eval` does with models and bins, and what comes of it."""
