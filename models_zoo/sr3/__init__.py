"""A network that draws samples of what an image may have looked like: diffusion and flow."""
