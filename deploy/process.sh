# Processes of the deploy scripts and the files that name them, so that teardown.sh ends these and no
# others. A file holds `pid start-time tie`: the kernel gives process ids anew, but never with the same
# start. A process writes its own file before it becomes tdist, so there is no moment at which it runs
# unnamed, whenever its script is killed. Sourced by deployment.sh and teardown.sh.

fail() {
  echo "$(basename "$0"): $1" >&2
  exit "${2:-1}"
}

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) ||
  fail "bash $BASH_VERSION is too old; 4.4 or newer is needed"

run_dir=${TDIST_RUN_DIR:-${XDG_RUNTIME_DIR:-/tmp}/tdist-$UID}

# In /tmp anybody could have made it first: what stands in it decides whom we signal.
open_run_dir() {
  mkdir -p "$run_dir" 2>/dev/null && chmod 700 "$run_dir" 2>/dev/null || true
  [[ -d $run_dir && -O $run_dir && -w $run_dir && ! -L $run_dir ]] ||
    fail "$run_dir is no folder of your own that can be written to; remove it or set TDIST_RUN_DIR"
}

# Sets `state` and `started` (clock ticks after boot): fields 3 and 22 of /proc/PID/stat, counted from
# behind the name, which may hold blanks and brackets. False when there is no such process.
read_stat() {
  local text=""
  { read -rd '' text <"/proc/$1/stat"; } 2>/dev/null || [[ -n $text ]] || return 1
  local -a field
  read -ra field <<<"${text##*) }"
  state=${field[0]} parent=${field[1]} started=${field[19]}
}

# Running, and the one that began at `start` where that is given. A zombie has ended, unless threads of
# its are still about: they hold its files, and the locks on them.
is_alive() {
  local state parent started
  local -a threads
  read_stat "$1" && [[ -z ${2:-} || $started == "$2" ]] || return 1
  [[ $state != [ZX] ]] && return 0
  threads=("/proc/$1/task"/*)
  ((${#threads[@]} > 1))
}

# Notes process $2 as ours under the name $1. Names sort in the order of starting. $3: `tied` if the
# kernel sends it SIGTERM when its script dies, else `free`.
claim() {
  local state parent started file
  read_stat "$2" || return 1
  file=$run_dir/deploy-$$-$(printf %03d "$claimed")-$1.pid
  echo "$2 $started $3" >"$file.new"
  mv "$file.new" "$file"
}

claimed=0 pids=()
tie=free tied=()
if setpriv --pdeathsig TERM true 2>/dev/null; then # util-linux 2.33 or newer
  tie=tied tied=(setpriv --pdeathsig TERM)
fi

# A session of its own for each process: Ctrl-C reaches this script alone, which then stops them. The
# last look at the parent comes after the tie: a script that died before it ties nobody.
start() {
  local name=$1
  shift
  ((claimed += 1))
  (
    export TDIST_REQUEST_PLANE_URI=$OWN_PLANE
    claim "$name" "$BASHPID" "$tie"
    # shellcheck disable=SC2016
    exec setsid "${tied[@]}" bash -c '[[ $PPID == "$0" ]] && exec "$@"' "$$" "$TDIST" "$@"
  ) &
  pids+=("$!")
}

# The last one started goes first: the request plane, started first, must outlive those who drain.
stop_all() {
  local code=$? i
  # A signal may have come between a start and its entry.
  [[ -z ${!:-} || " ${pids[*]} " == *" $! "* ]] || pids+=("$!")
  trap 'kill -KILL "${pids[@]}" 2>/dev/null' INT TERM HUP
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill -TERM "${pids[i]}" 2>/dev/null || continue
    while is_alive "${pids[i]}"; do wait "${pids[i]}" 2>/dev/null || true; done
  done
  rm -f "$run_dir/deploy-$$-"*
  exit "$code"
}
