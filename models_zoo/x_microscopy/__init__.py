"""X-Microscopy: UR-Net-8 and X-Net as one network of one input."""
