#!/usr/bin/env bash
# The aggregated counterpart on one host: worker(s) that prefill and decode, and the API server; then
# one streamed request. Settings: see deployment.sh. teardown.sh stops it from elsewhere.
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/deployment.sh"
(($# == 0)) || fail "takes no arguments, found: $*; settings come from the environment (deployment.sh)" 2
prepare
prepare_plane
prepare_api
start_baseline
start_api
wait_ready "$READY_S"
ask
serve
