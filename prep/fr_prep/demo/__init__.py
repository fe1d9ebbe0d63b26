"""The demonstration set: drawn people, so that the whole path runs without a download or a real face."""
