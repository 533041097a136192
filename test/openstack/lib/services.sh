# services.sh - the `lab up`, `down`, `restart` and `status` verbs.
#
# Who needs whom:   mariadb, rabbitmq, memcached
#                -> apache2 (keystone, placement; of a current release, all APIs but Swift's)
#                -> register.py (service users, catalogue)
#                -> nova-*, neutron-server, glance-api, cinder-*, swift-*
#                -> register.py (networks, flavours, volume types)

ETC=$LAB_DIR/etc

# ------------------------------------------------------------ configuration --
make_config() {
    local dir names=()
    for dir in run log etc/apache2/keystone.d mysql rabbitmq keystone neutron/lock \
               glance/images glance/staging glance/tasks glance/lock \
               cinder/volumes cinder/lock cinder/conversion cinder/coordination cinder/api \
               nova/lock nova/instances swift/d1; do
        mkdir -p "$LAB_DIR/$dir"
    done
    save_settings
    LAB_USER=$(id -un); export LAB_USER
    if [ "$(id -u)" = 0 ]; then LAB_HTTPD_GROUP=$(id -gn "$LAB_HTTPD_USER")
    else LAB_HTTPD_USER=$LAB_USER; LAB_HTTPD_GROUP=$(id -gn); fi
    export LAB_HTTPD_USER LAB_HTTPD_GROUP
    LAB_NEUTRON_TELLS_NOVA=false; if wants nova; then LAB_NEUTRON_TELLS_NOVA=true; fi
    export LAB_NEUTRON_TELLS_NOVA

    local site
    mapfile -t names < <(cd "$LAB_HOME/templates" && find . -type f ! -path './apache2/sites/*' ! -path './wsgi/*' -printf '%P\n')
    for site in $LAB_APACHE_APIS; do
        if wants "$site"; then names+=("apache2/sites/$site.conf" "wsgi/$site.wsgi")
        else rm -f "$ETC/apache2/sites/$site.conf"; fi
    done
    "$PYTHON" "$LAB_HOME/py/render.py" "$LAB_HOME/templates" "$ETC" "${names[@]}"
    # Copied, so that daemons need no way into this checkout: one in root's home
    # is closed to Apache's user, and a branch may be changed while the lab runs.
    rm -rf "$LAB_PLUGINS"
    cp -r "$LAB_HOME/py/plugins" "$LAB_PLUGINS"

    # What runs in Apache runs as LAB_HTTPD_USER and must get at the state.
    if [ "$(id -u)" = 0 ]; then
        for dir in keystone glance neutron cinder/api; do
            in_apache "${dir%/*}" && chown -R "$LAB_HTTPD_USER:" "$LAB_DIR/$dir"
        done
        may_enter LAB_DIR "$LAB_DIR"
        if [ "$LAB_RELEASE" = current ]; then may_enter LAB_VENV "$LAB_VENV"; fi
    fi
    write_openrc
}

# may_enter SETTING FOLDER : can Apache's user?
may_enter() {
    setpriv --reuid "$LAB_HTTPD_USER" --clear-groups --regid "$LAB_HTTPD_GROUP" test -x "$2" ||
        die "user $LAB_HTTPD_USER (Apache) may not enter $2: choose another place ($1), or another LAB_HTTPD_USER"
}

write_openrc() {
    cat >"$LAB_DIR/openrc" <<END
export OS_AUTH_URL=$LAB_AUTH_URL OS_IDENTITY_API_VERSION=3 OS_REGION_NAME=$LAB_REGION
export OS_USERNAME=admin OS_PASSWORD=$LAB_PASSWORD OS_PROJECT_NAME=admin
export OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default
END
    [ -f "$LAB_DIR/clouds.yaml" ] || cat >"$LAB_DIR/clouds.yaml" <<END
clouds:
  lab-admin:
    region_name: $LAB_REGION
    identity_api_version: 3
    auth:
      auth_url: $LAB_AUTH_URL
      username: admin
      password: $LAB_PASSWORD
      project_name: admin
      user_domain_name: Default
      project_domain_name: Default
END
}

# ----------------------------------------------------------- infrastructure --
mysql_admin() { mariadb --no-defaults -u "$(id -un)" -S "$LAB_DIR/run/mysql.sock" "$@"; }

# SQL from standard input, as the services' own user: works for whoever may read
# the settings. One line per row, without a head.
lab_sql() {
    MYSQL_PWD=$LAB_PASSWORD mariadb --no-defaults -h "$LAB_HOST" -P "$LAB_PORT_MYSQL" -u openstack \
        --default-character-set=utf8mb4 --batch --raw --skip-column-names "$@"
}

start_mariadb() {
    local db
    if [ ! -d "$LAB_DIR/mysql/mysql" ]; then
        # its user of the same name as ours gets in by the socket
        run_logged mariadb mariadb-install-db --no-defaults --datadir="$LAB_DIR/mysql" \
            --user="$(id -un)" --auth-root-authentication-method=socket \
            --auth-root-socket-user="$(id -un)" --skip-test-db
    fi
    start mariadb mariadbd --defaults-file="$ETC/mariadb/my.cnf" --user="$(id -un)" \
        --pid-file="$LAB_DIR/run/mariadb.own"
    wait_port mariadb "$LAB_PORT_MYSQL"
    for db in keystone placement glance neutron cinder nova_api nova nova_cell0; do
        echo "CREATE DATABASE IF NOT EXISTS $db;"
    done | { cat; echo "CREATE USER IF NOT EXISTS 'openstack'@'%' IDENTIFIED BY '$LAB_PASSWORD';
                        GRANT ALL ON *.* TO 'openstack'@'%';"; } |
        mysql_admin
}

# Erlang: a node, a cookie and a port mapper (epmd) of the lab's own
start_rabbitmq() {
    local dir=$LAB_DIR/rabbitmq
    local settings=(
        HOME="$dir" ERL_EPMD_PORT="$LAB_PORT_EPMD" ERL_EPMD_ADDRESS="$LAB_HOST"
        RABBITMQ_NODENAME=openstack-lab@localhost RABBITMQ_DIST_PORT="$LAB_PORT_RABBIT_DIST"
        RABBITMQ_CONF_ENV_FILE=/dev/null RABBITMQ_CONFIG_FILE="$ETC/rabbitmq/rabbitmq.conf"
        RABBITMQ_MNESIA_BASE="$dir/mnesia" RABBITMQ_LOG_BASE="$dir/log"
        RABBITMQ_GENERATED_CONFIG_DIR="$dir/generated"
        RABBITMQ_ENABLED_PLUGINS_FILE="$dir/enabled_plugins"
        RABBITMQ_FEATURE_FLAGS_FILE="$dir/feature_flags" RABBITMQ_PID_FILE="$dir/server.pid"
        # no busy waiting, and the node's own port on loopback as well
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none +S 2:2 -kernel inet_dist_use_interface {${LAB_HOST//./,}}"
    )
    [ -f "$dir/enabled_plugins" ] || echo '[].' >"$dir/enabled_plugins"
    start epmd epmd -port "$LAB_PORT_EPMD" -address "$LAB_HOST"
    wait_port epmd "$LAB_PORT_EPMD"
    start rabbitmq env "${settings[@]}" /usr/lib/rabbitmq/bin/rabbitmq-server
}

start_memcached() {
    start memcached memcached -u "$(id -un)" -l "$LAB_HOST" -p "$LAB_PORT_MEMCACHED" -U 0 -m 64 -t 1
}

# ---------------------------------------------------------------- databases --
sync_keystone() {
    local manage=(keystone-manage --config-file "$ETC/keystone/keystone.conf")
    local owner=(--keystone-user "$LAB_HTTPD_USER" --keystone-group "$LAB_HTTPD_GROUP")
    run_logged db-keystone "${manage[@]}" db_sync
    [ -d "$LAB_DIR/keystone/fernet-keys" ] || run_logged db-keystone "${manage[@]}" fernet_setup "${owner[@]}"
    [ -d "$LAB_DIR/keystone/credential-keys" ] || run_logged db-keystone "${manage[@]}" credential_setup "${owner[@]}"
    run_logged db-keystone "${manage[@]}" bootstrap --bootstrap-password "$LAB_PASSWORD" \
        --bootstrap-region-id "$LAB_REGION" --bootstrap-admin-url "$LAB_AUTH_URL" \
        --bootstrap-internal-url "$LAB_AUTH_URL" --bootstrap-public-url "$LAB_AUTH_URL"
}
sync_placement() { run_logged db-placement placement-manage --config-file "$ETC/placement/placement.conf" db sync; }
sync_glance() {
    run_logged db-glance glance-manage --config-file "$ETC/glance/glance-api.conf" db_sync
    run_logged db-glance glance-manage --config-file "$ETC/glance/glance-api.conf" db_load_metadefs "$LAB_GLANCE_SHARE/metadefs"
}
sync_neutron() { PYTHONPATH=$LAB_PLUGINS run_logged db-neutron neutron-db-manage --config-file "$ETC/neutron/neutron.conf" upgrade heads; }
sync_cinder() { run_logged db-cinder cinder-manage --config-file "$ETC/cinder/cinder.conf" db sync; }
NOVA_CONF=(--config-file "$ETC/nova/nova.conf" --config-file "$ETC/nova/db.conf")
sync_nova() {
    local manage=(nova-manage "${NOVA_CONF[@]}")
    run_logged db-nova "${manage[@]}" api_db sync
    run_logged db-nova "${manage[@]}" cell_v2 map_cell0
    "${manage[@]}" cell_v2 list_cells 2>>"$(logfile db-nova)" | grep -q ' cell1 ' ||
        run_logged db-nova "${manage[@]}" cell_v2 create_cell --name cell1
    run_logged db-nova "${manage[@]}" db sync
}

# All services' migrations that are due, at the same time.
sync_databases() {
    local pids=() pid service
    for service in keystone nova neutron cinder glance placement; do
        wants "$service" || continue
        ( once "db-$service" "$service" "sync_$service" ) &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || exit 1; done
}

# ----------------------------------------------------------------- services --
start_apache() { start apache2 apache2 -d "$LAB_DIR" -f "$ETC/apache2/apache2.conf" -DFOREGROUND; }

# daemon NAME MODULE:FUNCTION [ARG...] : an OpenStack daemon with its own log
daemon() {
    local name=$1 target=$2; shift 2
    start "$name" env PYTHONPATH="$LAB_PLUGINS" "$PYTHON" "$LAB_HOME/py/labrun" "$name" "$target" "$@"
}
# the same, for those with oslo.log (all but Swift)
oslo_daemon() { daemon "$@" --log-file "$(logfile "$1")"; }

start_glance() { in_apache glance || oslo_daemon glance-api glance.cmd.api:main --config-file "$ETC/glance/glance-api.conf"; }

start_neutron() { in_apache neutron || oslo_daemon neutron-server lab_neutron_server:main --config-file "$ETC/neutron/neutron.conf"; }

start_cinder() {
    local part
    for part in api scheduler volume; do
        [ $part != api ] || ! in_apache cinder || continue
        oslo_daemon "cinder-$part" "cinder.cmd.$part:main" --config-file "$ETC/cinder/cinder.conf"
    done
}

start_nova() {
    oslo_daemon nova-conductor nova.cmd.conductor:main "${NOVA_CONF[@]}"
    in_apache nova || oslo_daemon nova-api nova.cmd.api_os_compute:main "${NOVA_CONF[@]}"
    oslo_daemon nova-scheduler nova.cmd.scheduler:main "${NOVA_CONF[@]}"
    start_nova_compute
}

# one process per name in LAB_COMPUTE_HOSTS
start_nova_compute() {
    local host
    for host in $LAB_COMPUTE_HOSTS; do
        mkdir -p "$LAB_DIR/nova/$host"
        printf '[DEFAULT]\nhost = %s\nstate_path = %s\n' "$host" "$LAB_DIR/nova/$host" >"$ETC/nova/$host.conf"
        oslo_daemon "nova-compute-$host" lab_nova_compute:main \
            --config-file "$ETC/nova/nova.conf" --config-file "$ETC/nova/$host.conf"
    done
}

start_swift() {
    local part
    once swift-rings swift run_logged swift-rings lab_python "$LAB_HOME/py/make_rings.py" "$ETC/swift"
    for part in account container object proxy; do
        daemon "swift-$part" lab_swift:serve "$ETC/swift/$part-server.conf" "$part-server"
    done
    daemon swift-container-updater lab_swift:container_updater "$ETC/swift/container-server.conf"
}

# API's name -> the daemon that serves it, and a URL that answers without login
api_daemon() {
    if in_apache "$1"; then echo apache2; return; fi
    case $1 in neutron) echo neutron-server ;; nova|cinder|glance) echo "$1-api" ;; swift) echo swift-proxy ;; esac
}
api_url() {
    local base="http://$LAB_HOST"
    case $1 in
        keystone)  echo "$base:$LAB_PORT_KEYSTONE/v3" ;;
        placement) echo "$base:$LAB_PORT_PLACEMENT/" ;;
        neutron)   echo "$base:$LAB_PORT_NEUTRON/" ;;
        nova)      echo "$base:$LAB_PORT_NOVA/" ;;
        cinder)    echo "$base:$LAB_PORT_CINDER/" ;;
        glance)    echo "$base:$LAB_PORT_GLANCE/versions" ;;
        swift)     echo "$base:$LAB_PORT_SWIFT/healthcheck" ;;
    esac
}

register() { lab_python "$LAB_HOME/py/register.py" "$@" || die "register.py $* failed"; }

# -------------------------------------------------------------------- verbs --
lab_up() {
    local t0=$SECONDS service host
    STARTED=()
    release_check
    make_config
    # one `up` or `down` at a time
    exec 9>"$LAB_DIR/run/lock"; flock -w 300 9 || die "another lab up/down is running"
    # (9>&-: daemons must not inherit the lock)
    start_memcached 9>&-
    start_rabbitmq 9>&-
    start_mariadb 9>&-
    sync_databases 9>&-
    start_apache 9>&-
    # these need no Keystone to start
    if wants glance; then start_glance 9>&-; fi
    if wants swift; then start_swift 9>&-; fi
    wait_port rabbitmq "$LAB_PORT_RABBIT"
    if wants neutron; then start_neutron 9>&-; fi
    if wants cinder; then start_cinder 9>&-; fi
    wait_http apache2 "$(api_url keystone)"
    once catalogue keystone register catalogue 9>&-
    if wants nova; then start_nova 9>&-; fi

    for service in $LAB_SERVICES; do wait_http "$(api_daemon "$service")" "$(api_url "$service")"; done
    if wants nova; then
        for host in $LAB_COMPUTE_HOSTS; do once "host-$host" nova map_compute "$host" 9>&-; done
    fi
    once resources keystone register resources 9>&-
    for service in "${STARTED[@]}"; do
        running "$service" >/dev/null || die "$service stopped (see $(logfile "$service"))"
    done
    if [ ${#STARTED[@]} = 0 ]; then say "everything was up already"
    else say "up in $((SECONDS - t0)) s: ${#STARTED[@]} daemons started"; fi
    say "admin login: . $LAB_DIR/openrc    (or OS_CLIENT_CONFIG_FILE=$LAB_DIR/clouds.yaml, cloud lab-admin)"
}

# A new compute host is used once it is mapped to its cell.
map_compute() {
    local i
    for ((i = 0; i < 40; i++)); do
        nova-manage "${NOVA_CONF[@]}" cell_v2 discover_hosts >>"$(logfile db-nova)" 2>&1
        if nova-manage "${NOVA_CONF[@]}" cell_v2 list_hosts 2>>"$(logfile db-nova)" | grep -q " $1 "; then return; fi
        running "nova-compute-$1" >/dev/null || die "nova-compute-$1 stopped (see $(logfile "nova-compute-$1"))"
        sleep 1
    done
    die "compute host $1 did not register"
}

# names of all daemons that were started and not stopped, latest first
daemons() { (cd "$LAB_DIR/run" 2>/dev/null && ls -t -- *.pid 2>/dev/null) | sed 's/\.pid$//'; }

lab_down() {
    [ -d "$LAB_DIR/run" ] || { say "nothing at $LAB_DIR"; return 0; }
    exec 9>"$LAB_DIR/run/lock"; flock -w 300 9 || die "another lab up/down is running"
    local name infra=() rest=()
    for name in $(daemons); do
        case $name in mariadb|rabbitmq|epmd|memcached) infra+=("$name") ;; *) rest+=("$name") ;; esac
    done
    stop "${rest[@]}"
    for name in rabbitmq epmd mariadb memcached; do stop "$name"; done
    say "stopped: ${rest[*]} ${infra[*]}"
}

# `lab up` starts again what is missing
lab_restart() {
    local name=$1
    running "$name" >/dev/null || [ -f "$(pidfile "$name")" ] || die "no such daemon: $name (see: lab status)"
    stop "$name"
    lab_up
}

memory() {                              # of a daemon and its children, in MiB
    local pid
    for pid in $(ps -o pid= -g "$1"); do
        grep -s ^Pss: "/proc/$pid/smaps_rollup" || true
    done | awk '{ s += $2 } END { print int(s / 1024) }'
}

lab_status() {
    local name pid mem total=0 code service rc=0
    printf '%-24s %8s %9s\n' DAEMON PID 'MiB (PSS)'
    for name in $(daemons | sort); do
        if pid=$(running "$name"); then
            mem=$(memory "$pid"); total=$((total + mem))
            printf '%-24s %8s %9s\n' "$name" "$pid" "$mem"
        else
            printf '%-24s %8s\n' "$name" "DEAD"; rc=1
        fi
    done
    printf '%-24s %8s %9s\n\n' total '' "$total"
    printf '%-24s %s\n' API 'HTTP status'
    for service in $LAB_SERVICES; do
        code=$(http_code "$(api_url "$service")" 5)
        printf '%-24s %s\n' "$service" "$code  $(api_url "$service")"
        case $code in 2*|3*|401) ;; *) rc=1 ;; esac
    done
    return $rc
}
