"""The commands of `isotp`, a file for each."""
