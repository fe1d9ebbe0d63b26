"""Folders of shards: manifest, classes, record table, label overlays."""
