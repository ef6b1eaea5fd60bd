#!/usr/bin/env bash
# Two nodes. On the head node request plane, API server and context worker:
#   deploy_llama_8b_disaggregated_multinode.sh context --head-url nats://HEAD:4223
# On the second node the generate worker:
#   deploy_llama_8b_disaggregated_multinode.sh generate --head-url nats://HEAD:4223
#
# The KV cache does not cross between hosts in this version: a generate worker on another host than
# the context worker prefills by itself, and the answers are the same.
# Settings: see deployment.sh.
set -euo pipefail

usage="usage: $(basename "$0") {context|generate} --head-url URL"
node="" head_url=""
while (($# > 0)); do
  case $1 in
    context | generate) node=$1 ;;
    --head-url=*) head_url=${1#*=} ;;
    --head-url)
      head_url=${2:-}
      (($# < 2)) || shift
      ;;
    -h | --help)
      echo "$usage"
      exit 0
      ;;
    *)
      echo "$(basename "$0"): unknown argument $1; $usage" >&2
      exit 2
      ;;
  esac
  shift
done
if [[ -z $node || -z $head_url ]]; then
  echo "$usage" >&2
  exit 2
fi

PLANE=$head_url
source "$(dirname "${BASH_SOURCE[0]}")/deployment.sh"
if [[ $node == generate ]]; then
  start_generate
  serve "one generate worker of $head_url"
fi
start_context
start_api
echo "Now start the generate worker on the second node: $(basename "$0") generate --head-url $head_url"
wait_ready "${READY_S_HEAD:-86400}" # as long as it takes somebody to start it
ask
serve
