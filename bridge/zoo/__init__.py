"""BioImage Model Zoo packages: opening, checking, consent and weights."""
