"""Folders with one folder of images per person."""
