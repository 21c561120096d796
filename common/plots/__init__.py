"""Figures from tables of results; nothing here trains or reads files."""
