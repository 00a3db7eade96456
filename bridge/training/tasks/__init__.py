"""What a network can be trained for, one module each."""
