"""What can be seen in a network and in a run: parameters, pictures."""
