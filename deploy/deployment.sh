# What the deploy scripts share: starting processes, waiting until the API can answer, asking the
# seed's question, and ending what was started, by process id and in the right order.
#
# Settings, all from the environment:
#   TDIST         the executable          (beside the repository's README: npm run build)
#   MODEL         what the workers load   (tdist/demo; a folder)
#   WORKER_NAME   name clients ask for    (llama)
#   API_HOST, API_PORT                    (127.0.0.1, 8005; 0.0.0.0 serves other machines too)
#   PLANE         request plane address   (localhost:4223)
#   READY_S       longest wait for ready  (120)
#   ONCE=1        stop after the answer instead of serving on

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
TDIST=${TDIST:-$here/../tdist}
MODEL=${MODEL:-tdist/demo}
WORKER_NAME=${WORKER_NAME:-llama}
API_HOST=${API_HOST:-127.0.0.1}
API_PORT=${API_PORT:-8005}
PLANE=${PLANE:-localhost:4223}
READY_S=${READY_S:-120}
pids=()

fail() {
  echo "$(basename "$0"): $1" >&2
  exit "${2:-1}"
}

[[ -x $TDIST ]] || fail "no executable at $TDIST; run: npm run build (or set TDIST)"
command -v curl >/dev/null || fail "curl is missing; install it (apt-get install curl)"

# A session of its own for each process: Ctrl-C reaches this script alone, which then stops them.
start() {
  setsid "$TDIST" "$@" &
  pids+=($!)
}

# The last one started goes first: the request plane, started first, must outlive those who drain.
stop_all() {
  trap 'kill -KILL "${pids[@]}" 2>/dev/null' INT TERM
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -TERM "${pids[i]}" 2>/dev/null || continue
    wait "${pids[i]}" 2>/dev/null || true
  done
}
trap stop_all EXIT
trap 'exit 0' INT TERM

# The seed's flags. Those that mean nothing here are accepted with a line in the log.
worker_flags=(
  --request-plane-uri "$PLANE"
  --model-name "$MODEL"
  --worker-name "$WORKER_NAME"
  --kv-cache-dtype fp8
  --dtype auto
  --disable-async-output-proc
  --disable-log-stats
  --max-model-len 3500
  --max-batch-size 10000
  --gpu-memory-utilization 0.9
)

start_context() {
  VLLM_WORKER_ID=0 start --role context --context-worker-count 1 "${worker_flags[@]}" \
    --context-tp-size 1 --generate-tp-size 1 --initialize-request-plane
}

start_generate() {
  VLLM_WORKER_ID=1 start --role generate --generate-worker-count 1 "${worker_flags[@]}" \
    --context-tp-size 1 --generate-tp-size 1
}

start_baseline() {
  VLLM_WORKER_ID=0 start --role baseline --baseline-worker-count 1 "${worker_flags[@]}" \
    --baseline-tp-size 1 --initialize-request-plane
}

start_api() {
  # 0: also the short prompt below goes through a context worker, as the deployment's name says.
  start --role api --request-plane-uri "$PLANE" --model-name "$WORKER_NAME" --local-prefill-tokens 0 \
    --api-server-host "$API_HOST" --api-server-port "$API_PORT"
}

# Polls /health: 200 only when a request could be served now. Gives up when a process has ended.
wait_ready() {
  local limit_s=$1 url="http://$API_HOST:$API_PORT/health"
  local end=$((SECONDS + limit_s)) pid
  until curl -fsS -o /dev/null --max-time 2 "$url" 2>/dev/null; do
    for pid in "${pids[@]}"; do
      kill -0 "$pid" 2>/dev/null || fail "a process ended before the deployment was ready"
    done
    ((SECONDS < end)) || fail "not ready after $limit_s s: $(curl -sS --max-time 2 "$url" 2>&1)"
    sleep 0.1
  done
}

ask() {
  curl -fsSN "http://$API_HOST:$API_PORT/v1/chat/completions" \
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
    }' || fail "the request failed"
}

# Serves until Ctrl-C; a process that ends by itself ends the deployment.
serve() {
  [[ ${ONCE:-} != 1 ]] || exit 0
  echo "Serving ${1:-on http://$API_HOST:$API_PORT}; press Ctrl-C to exit"
  local code=0
  wait -n "${pids[@]}" || code=$?
  fail "a process ended (exit code $code)"
}
