#!/usr/bin/env bash
# Trains with several processes on one host, each with one GPU if there are any:
#   bash experiments/launchers/one_host.sh PROCESSES --config=FILE --workdir=DIRECTORY [FLAGS OF train ...]
# PORT is that of the coordinator, a free one unless set. CUDA_VISIBLE_DEVICES names the GPUs, the first ones unless set.
# The exit status is the first that is not 0.
set -euo pipefail
if [[ ! ${1:-} =~ ^[1-9][0-9]*$ ]]; then
    echo "the number of processes comes first, 1 or more; given '${1:-}'" >&2
    exit 2
fi
processes=$1
shift
port=${PORT:-$(python -c 'import socket; print(socket.create_server(("", 0)).getsockname()[1])')}
IFS=, read -ra gpus <<<"${CUDA_VISIBLE_DEVICES:-}"
children=()
stop() { kill -TERM "${children[@]}" 2>/dev/null || true; }  # Each saves its state.
trap stop INT TERM
for ((number = 0; number < processes; number++)); do
    CUDA_VISIBLE_DEVICES=${gpus[number]:-$number} python launch.py train --coordinator="localhost:$port" \
        --num_processes="$processes" --process_id="$number" "$@" &
    children+=($!)
done
status=0
for child in "${children[@]}"; do
    code=0
    wait "$child" || code=$?
    # A signal to this script interrupts the wait; the child saves its state and is waited for again.
    while kill -0 "$child" 2>/dev/null; do
        code=0
        wait "$child" || code=$?
    done
    if ((status == 0)); then status=$code; fi
done
exit "$status"
