"""X-Net: a widefield image and its sparse STORM image become a dense STORM image."""
