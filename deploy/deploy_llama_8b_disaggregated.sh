#!/usr/bin/env bash
# The seed's deployment on one host: request plane and context worker(s), generate worker(s), API
# server; then one streamed request. With `context|generate --head-url URL` it is the multi-node script.
# Settings: see deployment.sh. teardown.sh stops it from elsewhere.
set -euo pipefail

if (($# > 0)); then
  exec "$(dirname "${BASH_SOURCE[0]}")/deploy_llama_8b_disaggregated_multinode.sh" "$@"
fi

source "$(dirname "${BASH_SOURCE[0]}")/deployment.sh"
prepare
prepare_plane
prepare_api
start_context
start_generate
start_api
wait_ready "$READY_S"
ask
serve
