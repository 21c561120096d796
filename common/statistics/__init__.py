"""What the seeds can show."""
