"""The cost of inference: time and memory of a call, by layer and operator."""
