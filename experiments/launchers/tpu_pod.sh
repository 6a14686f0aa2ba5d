#!/usr/bin/env bash
# Asks for a slice of a TPU pod as a queued resource, and trains on all its workers:
#   NAME=se ZONE=us-west4-a TYPE=v5litepod-256 VERSION=v2-alpha-tpuv5-lite \
#       bash experiments/launchers/tpu_pod.sh --config=FILE --workdir=/mnt/DIRECTORY [FLAGS OF train ...]
# Each worker must have the repository in ~/senet_jax, its requirements, and the directory that all share. The slice
# costs money until `gcloud compute tpus queued-resources delete "$NAME" --zone="$ZONE" --force`.
set -euo pipefail
: "${NAME:?}" "${ZONE:?}" "${TYPE:?}" "${VERSION:?}"
state() { gcloud compute tpus queued-resources describe "$NAME" --zone="$ZONE" --format='value(state.state)' 2>/dev/null; }
if [ -z "$(state || true)" ]; then
    gcloud compute tpus queued-resources create "$NAME" --node-id="$NAME" --zone="$ZONE" \
        --accelerator-type="$TYPE" --runtime-version="$VERSION"
fi
until [ "$(state)" = ACTIVE ]; do
    case "$(state)" in FAILED | SUSPENDED) echo "the slice is $(state)" >&2; exit 1 ;; esac
    sleep 30
done
printf -v flags ' %q' "$@"
gcloud compute tpus tpu-vm ssh "$NAME" --zone="$ZONE" --worker=all \
    --command="cd ~/senet_jax && python launch.py train$flags"
