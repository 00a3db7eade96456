"""A small residual U-Net that restores centrioles from widefield images."""
