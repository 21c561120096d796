"""REPORT.md."""
