"""What a user can ask for: one file per job, each defined once."""
