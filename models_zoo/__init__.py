"""One folder per network: everything there is to know about it."""
