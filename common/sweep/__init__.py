"""Train the missing runs of an experiment and save them."""
