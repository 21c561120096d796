"""Data sets and image transforms."""
