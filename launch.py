"""Trains and evaluates squeeze-and-excitation networks; `python launch.py --help` says how."""

from senet_jax.commands.command_line import main

if __name__ == "__main__":  # Worker processes import this file.
    main()
