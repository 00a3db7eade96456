"""Deep-STORM in its original layout: convolutions on the enlarged frame."""
