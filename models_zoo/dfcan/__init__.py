"""A network for super-resolution that weighs its channels by their spectra."""
