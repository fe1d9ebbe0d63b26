"""Shards as a source: rewritten, merged, exported."""
