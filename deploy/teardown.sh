#!/usr/bin/env bash
# Ends what the deploy scripts of this user have started on this machine, and nothing else: processes
# that their files in the run folder name (process.sh), also after a script was itself killed. SIGTERM
# first: each finishes what it has (--drain-timeout-ms) and says goodbye; SIGKILL after a deadline.
# Says what it did. Exit code 0: nothing of theirs runs any more.
#
#   TEARDOWN_S     longest wait before SIGKILL   (120)
#   TDIST_RUN_DIR  as for the deploy scripts
set -euo pipefail

source "$(dirname "${BASH_SOURCE[0]}")/process.sh"
case ${1:-} in
  -h | --help)
    echo "Usage: [TEARDOWN_S=N] [TDIST_RUN_DIR=FOLDER] $0"
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
    exit 0
    ;;
esac
(($# == 0)) || fail "takes no arguments, found: $*; it ends everything that $run_dir names" 2
TEARDOWN_S=${TEARDOWN_S:-120}
[[ $TEARDOWN_S =~ ^[0-9]+$ ]] || fail "TEARDOWN_S=$TEARDOWN_S: wanted a number of seconds, for example 120" 2

# One entry for each file: `pid start tie name file`.
entries=()
stopped=() killed=()
declare -A was_killed

name_of() {
  local name
  name=$(basename "$1" .pid)
  echo "${name#deploy-*-*-}"
}

collect() {
  local file pid start tie
  for file in "$run_dir"/deploy-*.pid; do
    [[ -e $file ]] || continue
    pid="" start="" tie=""
    read -r pid start tie <"$file" || true
    if [[ $pid =~ ^[0-9]+$ && $start =~ ^[0-9]+$ ]] && is_alive "$pid" "$start"; then
      entries+=("$pid $start ${tie:-free} $(name_of "$file") $file")
    else
      rm -f "$file" # it ended by itself, and the number may be somebody else's by now
    fi
  done
}

# Waits until that process has ended or the deadline has come.
wait_end() {
  while is_alive "$1" "$2"; do
    ((SECONDS < TEARDOWN_S)) || return 1
    sleep 0.05
  done
}

# Stops a process and all below it where they are, and prints each as `pid start`. The kernel's list of
# children leaves some out when one of them is reaped meanwhile, and a process that runs may start more:
# so the parent stands still before its children are read.
freeze() {
  local child state parent started tries
  kill -STOP "$1" 2>/dev/null || true
  # Bounded: one that hangs in the kernel does not stop either.
  for ((tries = 0; tries < 200; tries++)); do
    read_stat "$1" && [[ $state != [TtZX] ]] || break
    sleep 0.01
  done
  echo "$1 $2"
  for child in $(cat "/proc/$1/task"/*/children 2>/dev/null); do
    read_stat "$child" && freeze "$child" "$started"
  done
}

kill_tree() {
  local -a tree
  local one pid start
  mapfile -t tree < <(freeze "$1" "$2")
  for one in "${tree[@]}"; do
    read -r pid start <<<"$one"
    is_alive "$pid" "$start" || continue
    was_killed[$pid]=1
    kill -KILL "$pid" 2>/dev/null || true
  done
  for one in "${tree[@]}"; do
    read -r pid start <<<"$one"
    local end=$((SECONDS + 5))
    while is_alive "$pid" "$start"; do
      ((SECONDS < end)) || fail "process $pid cannot be killed; end it by hand, with the rights of its owner"
      sleep 0.05
    done
  done
}

# A second SIGTERM would end a process at once, so none for those whom the kernel has sent theirs: the
# tied ones, when their script ended. Those whom a script stops have ended by the time we come to them.
end_one() {
  local pid start tie name file
  read -r pid start tie name file <<<"$1"
  if is_alive "$pid" "$start" && ((TEARDOWN_S > 0)) && [[ $tie == free ]]; then
    kill -TERM "$pid" 2>/dev/null || true
  fi
  wait_end "$pid" "$start" || kill_tree "$pid" "$start"
  if [[ -z ${was_killed[$pid]:-} ]]; then
    stopped+=("$name (pid $pid)")
  else
    killed+=("$name (pid $pid)")
  fi
  rm -f "$file"
}

# What killed processes could not remove: shared memory of workers (a living one's is locked) and the
# store of nats-server (named by its owner's process id and start time).
sweep() {
  local path pid start
  for path in /dev/shm/tdist-*; do
    [[ -f $path && -O $path ]] && command -v flock >/dev/null || continue
    flock --nonblock "$path" rm -f "$path" 2>/dev/null || true
  done
  for path in "${TMPDIR:-/tmp}"/tdist-nats-*; do
    [[ -d $path && -O $path && $path =~ /tdist-nats-([0-9]+)-([0-9]+)-[0-9]+$ ]] || continue
    pid=${BASH_REMATCH[1]} start=${BASH_REMATCH[2]}
    is_alive "$pid" "$start" || rm -rf "$path"
  done
}

list() {
  printf '%s' "$1"
  shift
  (($# == 0)) || printf ', %s' "$@"
}

if [[ -d $run_dir ]]; then
  open_run_dir
  collect
  # Scripts first: each stops its own in order and starts nothing more. Then what has lost its script,
  # the last one started first, since the request plane was the first.
  for entry in "${entries[@]}"; do
    [[ $entry != *" script "* ]] || end_one "$entry"
  done
  for ((i = ${#entries[@]} - 1; i >= 0; i--)); do
    [[ ${entries[i]} == *" script "* ]] || end_one "${entries[i]}"
  done
  ((${#entries[@]} == 0)) || sweep
fi
if ((${#stopped[@]} + ${#killed[@]} == 0)); then
  echo "nothing runs that the deploy scripts started ($run_dir)"
else
  ((${#stopped[@]} == 0)) || echo "stopped: $(list "${stopped[@]}")"
  ((${#killed[@]} == 0)) || echo "killed after $TEARDOWN_S s: $(list "${killed[@]}")"
fi
