"""What commands print: the name of the program, tables."""
