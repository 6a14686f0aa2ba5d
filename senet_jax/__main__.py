"""`python -m senet_jax`: the same main as `launch.py` and the console script `senet-jax`."""

from senet_jax.commands.command_line import main

if __name__ == "__main__":  # Worker processes import this file.
    main()
