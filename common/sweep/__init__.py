"""Many runs: what is missing, trained and written."""
