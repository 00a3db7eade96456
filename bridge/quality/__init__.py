"""How good an image is: resolution, consistency with the input, pages that show it."""
