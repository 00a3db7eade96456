"""DSIR: a convolutional autoencoder on the enlarged frame."""
