# What the deploy scripts share: starting processes, waiting until the API can answer, asking the
# seed's question, and ending what was started, by process id and in the right order. teardown.sh ends
# what a script that was itself killed has left. Sourced; bash 4.4 or newer.
#
# Settings, all from the environment:
#   TDIST             the executable             (beside the repository's README: npm run build)
#   MODEL             what the workers load      (tdist/demo, built in; a folder; ORG/REPO, best pulled before)
#   WORKER_NAME       name clients ask for       (llama)
#   CONTEXT_WORKERS, GENERATE_WORKERS, BASELINE_WORKERS   processes of each kind (1)
#   KV_CACHE_DTYPE    how KV is stored and moved (auto; fp8, bf16, …)
#   MAX_MODEL_LEN     prompt + completion limit  (3500; empty: the model's own)
#   API_HOST, API_PORT                           (127.0.0.1, 8005; 0.0.0.0 serves other machines too)
#   PLANE             request plane address      (localhost:4223; two nodes: --head-url)
#   PLANE_LISTEN      address the head's nats-server listens on, where it is not the one in --head-url
#                     (behind NAT, say): 0.0.0.0 is every address of the machine
#   NAMESPACE         subject prefix             (tdist)
#   METRICS_PORT      first worker's /metrics    (none); the next ones' are +1
#   READY_S           longest wait for ready     (120; head node, for the second node: READY_S_HEAD, a day)
#   ONCE=1            stop after the answer instead of serving on
#   TDIST_RUN_DIR     process ids, for teardown.sh ($XDG_RUNTIME_DIR or /tmp, then tdist-UID)

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TDIST=${TDIST:-$(dirname "$here")/tdist}
MODEL=${MODEL:-tdist/demo}
WORKER_NAME=${WORKER_NAME:-llama}
CONTEXT_WORKERS=${CONTEXT_WORKERS:-1}
GENERATE_WORKERS=${GENERATE_WORKERS:-1}
BASELINE_WORKERS=${BASELINE_WORKERS:-1}
KV_CACHE_DTYPE=${KV_CACHE_DTYPE:-auto}
MAX_MODEL_LEN=${MAX_MODEL_LEN-3500}
API_HOST=${API_HOST:-127.0.0.1}
API_PORT=${API_PORT:-8005}
PLANE=${PLANE:-localhost:4223}
NAMESPACE=${NAMESPACE:-tdist}
METRICS_PORT=${METRICS_PORT:-0}
READY_S=${READY_S:-120}
OWN_PLANE=$PLANE # what processes of the plane's own host use

source "$here/process.sh"

# Before anything is started: what can be seen to be wrong already.
prepare() {
  [[ -x $TDIST ]] || fail "no executable at $TDIST; run: npm run build (or set TDIST)"
  command -v curl >/dev/null || fail "curl is missing; install it (apt-get install curl)"
  command -v setsid >/dev/null || fail "setsid is missing; install it (apt-get install util-linux)"
  open_run_dir
  trap stop_all EXIT
  trap 'exit 0' INT TERM HUP
  claim script "$$" free
}

# `host port` of an address as users write it: scheme, credentials and path are left out.
host_port() {
  local rest=${1%%,*}
  rest=${rest#*://} rest=${rest##*@} rest=${rest%%/*}
  local host=${rest%:*} port=${rest##*:}
  [[ $rest == *:* && $rest != *"]" ]] || host=$rest port=4223
  host=${host#[} host=${host%]}
  echo "$host" "$port"
}

# Whether somebody accepts connections there. An address that means "every one" is asked at loopback.
answers() {
  local host=$1
  [[ $host != 0.0.0.0 ]] || host=127.0.0.1
  [[ $host != :: ]] || host=::1
  timeout 2 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$host" "$2" 2>/dev/null
}

refuse_taken() {
  local what=$1 host=$2 port=$3 mend=$4
  ! answers "$host" "$port" ||
    fail "port $port on $host, wanted for $what, is taken; stop what listens there ($here/teardown.sh, if it was started by these scripts) or $mend"
}

# The request plane is ours to start: its port must be free, and in a deployment of two nodes its
# address must be one that the other node can reach.
prepare_plane() {
  local host port
  if [[ -n ${PLANE_LISTEN:-} ]]; then
    read -r host port < <(host_port "$PLANE")
    local scheme="" credentials="" rest=${PLANE%%,*} listen=$PLANE_LISTEN
    [[ $rest != *://* ]] || scheme=${rest%%://*}:// rest=${rest#*://}
    [[ $rest != *@* ]] || credentials=${rest%@*}@
    [[ $listen != *:* ]] || listen="[$listen]"
    OWN_PLANE=$scheme$credentials$listen:$port
  fi
  read -r host port < <(host_port "$OWN_PLANE")
  refuse_taken "the request plane" "$host" "$port" "choose another one in ${1:-PLANE}"
}

prepare_api() {
  refuse_taken "the API" "$API_HOST" "$API_PORT" "set API_PORT"
}

# The plane's address goes by the environment (`start`): it may hold a password, and arguments are
# everybody's to read.
worker_flags() {
  flags=(
    --namespace "$NAMESPACE"
    --model-name "$MODEL"
    --worker-name "$WORKER_NAME"
    --kv-cache-dtype "$KV_CACHE_DTYPE"
    --dtype auto
    --disable-log-stats
    --max-batch-size 10000
    --gpu-memory-utilization 0.9
    --starting-metrics-port "$METRICS_PORT"
  )
  [[ -z $MAX_MODEL_LEN ]] || flags+=(--max-model-len "$MAX_MODEL_LEN")
}

start_context() {
  worker_flags
  VLLM_WORKER_ID=0 start context --role context --context-worker-count "$CONTEXT_WORKERS" \
    --initialize-request-plane "${flags[@]}"
}

start_generate() {
  worker_flags
  VLLM_WORKER_ID=$CONTEXT_WORKERS start generate --role generate \
    --generate-worker-count "$GENERATE_WORKERS" "${flags[@]}"
}

start_baseline() {
  worker_flags
  VLLM_WORKER_ID=0 start baseline --role baseline --baseline-worker-count "$BASELINE_WORKERS" \
    --initialize-request-plane "${flags[@]}"
}

start_api() {
  # 0: also the short prompt below goes through a context worker, as the deployment's name says.
  start api --role api --namespace "$NAMESPACE" --model-name "$WORKER_NAME" \
    --local-prefill-tokens 0 \
    --api-server-host "$API_HOST" --api-server-port "$API_PORT"
}

api_url() {
  local host=$API_HOST
  case $host in
    0.0.0.0) host=127.0.0.1 ;;
    ::) host='[::1]' ;;
    *:*) host="[$host]" ;;
  esac
  echo "http://$host:$API_PORT"
}

fail_if_ended() {
  local pid
  for pid in "${pids[@]}"; do
    is_alive "$pid" || fail "a process ended before the deployment was ready; its own line is above"
  done
}

# Polls /health: 200 only when a request could be served now. Gives up when a process has ended.
wait_ready() {
  local limit_s=$1 url
  url=$(api_url)/health
  local end=$((SECONDS + limit_s))
  until curl -fsS -o /dev/null --max-time 2 "$url" 2>/dev/null; do
    fail_if_ended
    ((SECONDS < end)) || fail "not ready after $limit_s s: $(curl -sS --max-time 2 "$url" 2>&1 | head -c 500)"
    sleep 0.1
  done
}

# A node that joins: the head may be started later, but not never.
wait_plane() {
  local limit_s=$1 host port told=""
  read -r host port < <(host_port "$PLANE")
  local end=$((SECONDS + limit_s))
  until answers "$host" "$port"; do
    fail_if_ended
    ((SECONDS < end)) ||
      fail "NATS at $host:$port unreachable for $limit_s s; start the head node (context --head-url), or look at address and firewall"
    [[ -n $told ]] || echo "NATS at $host:$port does not answer yet; waiting up to $limit_s s for the head node"
    told=1
    sleep 0.2
  done
}

ask() {
  curl -fsSN "$(api_url)/v1/chat/completions" \
    -H "Content-Type: application/json" \
    -d '{
      "model": "'"$WORKER_NAME"'",
      "messages": [{"role": "user", "content": "What is the capital of France?"}],
      "temperature": 0,
      "top_p": 0.95,
      "max_tokens": 25,
      "stream": true,
      "n": 1,
      "frequency_penalty": 0.0,
      "stop": []
    }' || fail "the request failed; the processes' own lines are above"
}

# Serves until Ctrl-C; a process that ends by itself ends the deployment.
serve() {
  [[ ${ONCE:-} != 1 ]] || exit 0
  echo "Serving ${1:-on http://$API_HOST:$API_PORT}; press Ctrl-C to exit"
  local code=0
  wait -n || code=$?
  fail "a process ended (exit code $code); its own line is above"
}
