"""Output of commands: the name of the program, progress, tables."""
