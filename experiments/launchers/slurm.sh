#!/usr/bin/env bash
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --requeue
#SBATCH --signal=TERM@120
# Trains with a process for each GPU; adapt the lines above, and give a workdir on a shared file system:
#   sbatch experiments/launchers/slurm.sh --config=FILE --workdir=DIRECTORY [FLAGS OF train ...]
# Two minutes before its time is over the run saves its state; the same command goes on.
set -euo pipefail
srun --kill-on-bad-exit=1 python launch.py train "$@"
