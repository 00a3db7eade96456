"""zoobridge: super-resolution microscopy networks from BioImage Model Zoo packages, on any image."""

__version__ = "0.1.0"
