"""Deep-STORM: a super-resolved image from dense frames of blinking emitters."""
