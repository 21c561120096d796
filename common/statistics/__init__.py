"""Statistics of accuracies: fractions in [0, 1], one value per seed."""
