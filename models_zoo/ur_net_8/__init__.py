"""UR-Net-8: a widefield image becomes a mimic of a sparse STORM image."""
