"""Export of trained networks to files that other programs run: `write` of a module writes and checks its format."""
