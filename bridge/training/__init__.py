"""Training: a recipe becomes a network, and the network a package."""
