# common.sh - settings, messages, and starting/stopping one's own processes.

# ---------------------------------------------------------------- settings --
LAB_DIR=$(realpath -m "${LAB_DIR:-/var/lib/openstack-lab}")

# name=default of everything that may be set in the environment. The first
# `lab up` stores the values in $LAB_DIR/settings and from then on those hold
# (endpoints and databases were made with them); `lab destroy` forgets them.
LAB_DEFAULTS=(
    LAB_RELEASE=zed                 # or current: see release.sh
    LAB_SERVICES="keystone placement glance neutron cinder nova swift"
    LAB_HOST=127.0.0.1              # address to listen on, and in the catalogue
    LAB_REGION=RegionOne
    LAB_PASSWORD=lab-secret         # of admin, of the service users, of MariaDB
    LAB_COMPUTE_HOSTS="compute1"    # one nova-compute process each
    LAB_HTTPD_USER=www-data         # who runs Apache's APIs when root starts the lab
    LAB_VENV=/var/cache/openstack-lab-2026.2   # where `current` is installed
    LAB_PORT_OFFSET=0               # added to all these (for a second lab)
    LAB_PORT_KEYSTONE=5000
    LAB_PORT_NOVA=8774
    LAB_PORT_CINDER=8776
    LAB_PORT_PLACEMENT=8778
    LAB_PORT_GLANCE=9292
    LAB_PORT_NEUTRON=9696
    LAB_PORT_SWIFT=8080
    LAB_PORT_SWIFT_OBJECT=16200
    LAB_PORT_SWIFT_CONTAINER=16201
    LAB_PORT_SWIFT_ACCOUNT=16202
    LAB_PORT_MYSQL=13306
    LAB_PORT_RABBIT=15673
    LAB_PORT_RABBIT_DIST=15674
    LAB_PORT_EPMD=14369
    LAB_PORT_MEMCACHED=11311
)

say() { printf '[lab] %s\n' "$*"; }
die() { printf '[lab] ERROR: %s\n' "$*" >&2; exit 1; }

lab_settings() {
    local entry name value asked=${LAB_RELEASE:-}
    if [ -f "$LAB_DIR/settings" ]; then
        LAB_RELEASE=zed                 # of a lab from before there was a choice
        # shellcheck disable=SC1091
        . "$LAB_DIR/settings"
        [ -z "$asked" ] || [ "$asked" = "$LAB_RELEASE" ] ||
            die "the lab in $LAB_DIR is of release $LAB_RELEASE, not $asked: choose another LAB_DIR, or lab destroy"
    fi
    for entry in "${LAB_DEFAULTS[@]}"; do
        name=${entry%%=*} value=${entry#*=}
        if [ -z "${!name:-}" ]; then
            [[ $name != LAB_PORT_?* || $name = LAB_PORT_OFFSET ]] || value=$((value + LAB_PORT_OFFSET))
            printf -v "$name" '%s' "$value"
        fi
        export "${name?}"
    done
    export LAB_DIR LAB_HOME
    export LAB_AUTH_URL="http://$LAB_HOST:$LAB_PORT_KEYSTONE/v3"
    export LAB_PLUGINS="$LAB_DIR/plugins"
}

save_settings() {
    local entry name
    [ -f "$LAB_DIR/settings" ] && return
    { echo "LAB_DIR='$LAB_DIR'"
      for entry in "${LAB_DEFAULTS[@]}"; do
          name=${entry%%=*}; printf "%s='%s'\n" "$name" "${!name}"
      done
    } >"$LAB_DIR/settings.new"
    mv "$LAB_DIR/settings.new" "$LAB_DIR/settings"
}

lab_settings

wants() { [[ " $LAB_SERVICES " == *" $1 "* ]]; }

# No proxy for what is all on loopback, and nothing of the caller's Python.
# (`install` may need the proxy.)
CALLERS_PROXY=()
for name in http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY; do
    [ -z "${!name:-}" ] || CALLERS_PROXY+=("$name=${!name}")
    unset "$name"
done
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV
export PYTHONDONTWRITEBYTECODE=1      # leave no __pycache__ in this folder
unset "${!OS_@}"                       # no OpenStack login of the caller's
lab_python() { PYTHONPATH="$LAB_PLUGINS:$LAB_HOME/py" "$PYTHON" "$@"; }

# --------------------------------------------------------------- processes --
# $LAB_DIR/run/NAME.pid holds "PID STARTTIME". The start time (clock ticks since
# boot, /proc/PID/stat) tells our process from another one that got its number
# later, so that nothing but our own children is ever signalled.

pidfile() { echo "$LAB_DIR/run/$1.pid"; }
logfile() { echo "$LAB_DIR/log/$1.log"; }

starttime() {                           # PID -> start time, empty if gone
    local stat
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 0
    set -- ${stat##*) }                 # fields from no. 3 (state) on
    [ "$1" = Z ] || echo "${20}"
}

running() {                             # NAME -> prints its pid if it runs
    local pid started
    [ -f "$(pidfile "$1")" ] || return 1
    read -r pid started <"$(pidfile "$1")" || return 1
    [ -n "$started" ] && [ "$(starttime "$pid")" = "$started" ] && echo "$pid"
}

# start NAME COMMAND... : in its own session, output to log/NAME.log
start() {
    local name=$1 pid; shift
    if running "$name" >/dev/null; then return; fi
    printf '\n=== %s: started %s\n' "$(date -Is)" "$name" >>"$(logfile "$name")"
    setsid "$@" >>"$(logfile "$name")" 2>&1 </dev/null &
    pid=$!
    echo "$pid $(starttime "$pid")" >"$(pidfile "$name")"
    STARTED+=("$name")
}

# stop NAME... : TERM to the sessions' process groups, KILL after a while
stop() {
    local name pid i
    local -A pids=()
    for name in "$@"; do
        if pid=$(running "$name"); then
            pids[$name]=$pid; kill -TERM -- "-$pid" 2>/dev/null || kill -TERM "$pid" || true
        fi
    done
    for name in "${!pids[@]}"; do
        for ((i = 0; i < 100; i++)); do running "$name" >/dev/null || break; sleep 0.1; done
        if running "$name" >/dev/null; then
            say "$name did not stop in time: killed"
            kill -KILL -- "-${pids[$name]}" 2>/dev/null || true
        fi
    done
    for name in "$@"; do rm -f "$(pidfile "$name")"; done
}

# A command run to its end (database migrations ...), output to log/NAME.log
run_logged() {
    local name=$1; shift
    printf '\n=== %s: %s\n' "$(date -Is)" "$*" >>"$(logfile "$name")"
    "$@" >>"$(logfile "$name")" 2>&1 </dev/null ||
        die "failed: $*  (see $(logfile "$name"))"
}

port_open() { (exec 3<>"/dev/tcp/$LAB_HOST/$1") 2>/dev/null; }

# wait_port NAME PORT [SECONDS] : until daemon NAME listens, or dies
wait_port() {
    local i
    for ((i = 0; i < ${3:-120} * 5; i++)); do
        if port_open "$2"; then return; fi
        running "$1" >/dev/null || { tail -n 20 "$(logfile "$1")" >&2; die "$1 stopped (see $(logfile "$1"))"; }
        sleep 0.2
    done
    die "$1 does not listen on port $2 (see $(logfile "$1"))"
}

http_code() { curl -s -o /dev/null -m "${2:-20}" -w '%{http_code}' "$1" || true; }

# wait_http NAME URL : until the API answers anything but "not there yet"
wait_http() {
    local i code
    for ((i = 0; i < 300; i++)); do
        code=$(http_code "$2")
        case "$code" in 2*|3*|401) return ;; esac
        running "$1" >/dev/null || { tail -n 20 "$(logfile "$1")" >&2; die "$1 stopped (see $(logfile "$1"))"; }
        sleep 0.3
    done
    die "$1 does not answer $2: HTTP $code (see $(logfile "$1"))"
}

# once STEP SERVICE COMMAND... : skip if done with that version of the service
once() {
    local mark="$LAB_DIR/run/done.$1" version; shift
    version=$(release_version "$1"); shift
    [ "$(cat "$mark" 2>/dev/null)" = "$version" ] && return
    "$@"
    echo "$version" >"$mark"
}
