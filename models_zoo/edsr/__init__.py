"""A regression network for super-resolution without normalisation layers."""
