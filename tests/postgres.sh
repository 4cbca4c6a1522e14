# A PostgreSQL of our own for one run: in a temporary folder, on a free port, gone afterwards.
# Sourced by tests/run. Sets LINKSPAN_TEST_POSTGRES to the address of a superuser who may create databases.

postgres_folder=

# Debian keeps the server's programs out of the path, one folder a version: the newest.
postgres_programs() {
    local found
    found=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    [ -n "$found" ] || found=$(command -v initdb) || return 1
    dirname "$(readlink -f "$found")"
}

# The server refuses to run as root, so root hands it to the package's own user.
as_postgres() (
    cd /
    if [ "$(id -u)" -ne 0 ]; then
        exec "$@"
    fi
    exec setpriv --reuid=postgres --regid=postgres --init-groups env HOME="$postgres_folder" "$@"
)

postgres_start() {
    local programs password port
    programs=$(postgres_programs)
    postgres_folder=$(mktemp -d)
    password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    printf '%s\n' "$password" >"$postgres_folder/password"
    [ "$(id -u)" -ne 0 ] || chown -R postgres:postgres "$postgres_folder"

    as_postgres "$programs/initdb" --pgdata="$postgres_folder/data" --username=postgres \
        --pwfile="$postgres_folder/password" --auth=password --encoding=UTF8 --locale=C --no-sync >/dev/null
    # Nothing here outlives the run, so nothing has to survive a power cut.
    as_postgres tee -a "$postgres_folder/data/postgresql.conf" >/dev/null <<SETTINGS
listen_addresses = '127.0.0.1'
unix_socket_directories = '$postgres_folder'
fsync = off
synchronous_commit = off
full_page_writes = off
max_connections = 300
timezone = 'UTC'
SETTINGS

    # Whoever else takes the port first makes the start fail: try another.
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + RANDOM % 12000))
        if as_postgres "$programs/pg_ctl" --pgdata="$postgres_folder/data" --log="$postgres_folder/log" \
            --options="-p $port" --wait --silent start >/dev/null 2>&1; then
            export LINKSPAN_TEST_POSTGRES="postgres://postgres:$password@127.0.0.1:$port/postgres"
            return 0
        fi
    done
    echo "PostgreSQL did not start; its log ends:" >&2
    tail -n 20 "$postgres_folder/log" >&2
    return 1
}

postgres_stop() {
    [ -n "$postgres_folder" ] || return 0
    if [ -f "$postgres_folder/data/postmaster.pid" ]; then
        as_postgres "$(postgres_programs)/pg_ctl" --pgdata="$postgres_folder/data" --mode=immediate --wait --silent \
            stop >/dev/null 2>&1 || echo "PostgreSQL did not stop: $postgres_folder" >&2
    fi
    rm -rf "$postgres_folder"
    postgres_folder=
}
