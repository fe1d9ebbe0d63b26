"""Images out again: class folders, and record sets for MXNet."""
