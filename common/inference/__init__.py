"""What a trained network costs: time, memory, and where both go."""
