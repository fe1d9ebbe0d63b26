"""Encoded images: what their headers say, their pixels, and faces aligned by five points."""
