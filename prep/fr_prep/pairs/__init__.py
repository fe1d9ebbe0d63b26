"""Verification pairs: bins rewritten, drawn, listed, and as shards."""
