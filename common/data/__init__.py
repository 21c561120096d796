"""The data sets, and how images are changed."""
