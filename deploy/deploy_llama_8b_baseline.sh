#!/usr/bin/env bash
# The aggregated counterpart on one host: a worker that prefills and decodes, and the API server;
# then one streamed request. Settings: see deployment.sh.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/deployment.sh"
start_baseline
start_api
wait_ready "$READY_S"
ask
serve
