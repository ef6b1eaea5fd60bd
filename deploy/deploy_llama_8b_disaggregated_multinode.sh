#!/usr/bin/env bash
# Two nodes. On the head node request plane, API server and context worker(s):
#   deploy_llama_8b_disaggregated_multinode.sh context --head-url nats://HEAD:4223
# On each other node generate worker(s), in any order:
#   deploy_llama_8b_disaggregated_multinode.sh generate --head-url nats://HEAD:4223
#
# HEAD is an address of the head node that the others reach: nats-server listens there and nowhere
# else, so that one can choose the private network. NATS asks for no password unless the URL has one
# (nats://USER:PASSWORD@HEAD:4223). The API listens on API_HOST, by default for the head node alone.
# Settings: see deployment.sh. teardown.sh stops a node's part from elsewhere.
set -euo pipefail

usage="usage: $(basename "$0") {context|generate} --head-url URL"
node="" head_url=""
while (($# > 0)); do
  case $1 in
    context | generate)
      if [[ -n $node && $node != "$1" ]]; then
        echo "$(basename "$0"): both $node and $1; one script starts one part. $usage" >&2
        exit 2
      fi
      node=$1
      ;;
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
shown=$head_url # without a password
[[ $head_url != *@* ]] || shown="nats://***@${head_url##*@}"
source "$(dirname "${BASH_SOURCE[0]}")/deployment.sh"

# Debian's /etc/hosts gives a machine's own name the address 127.0.1.1: nats-server would listen where
# no other node can reach it.
check_reach() {
  local host port found
  read -r host port < <(host_port "$OWN_PLANE")
  case $host in
    localhost | 127.* | ::1)
      echo "$(basename "$0"): --head-url $shown can be reached from this machine alone" >&2
      return
      ;;
  esac
  found=$(getent ahosts "$host" | awk 'NR == 1 { print $1 }') || true
  case $found in
    127.* | ::1) fail "--head-url $shown: $host is $found on this machine, which no other node reaches; give its address in the network (hostname -I), or set PLANE_LISTEN=0.0.0.0" ;;
    "") fail "--head-url $shown: $host has no address; give one that the other nodes reach (hostname -I)" ;;
  esac
}

prepare
if [[ $node == generate ]]; then
  start_generate
  wait_plane "$READY_S"
  serve "the generate workers of $shown"
fi
prepare_plane --head-url
check_reach
prepare_api
start_context
start_api
echo "Now start the generate worker on the second node: $(basename "$0") generate --head-url $shown"
wait_ready "${READY_S_HEAD:-86400}" # as long as it takes somebody to start it
ask
serve
