"""A network for super-resolution that learns against a discriminator."""
