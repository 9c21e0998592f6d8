"""How a model is computed: forward to score, forward and backward to learn. Torch's way, and a linear model's own."""
