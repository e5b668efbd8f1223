#!/usr/bin/env bash
# Installs or upgrades crypto-proxy, or replaces the old proxy whose unit has the same name.
#
#   sudo deploy/install.sh [--dry-run] [--keep-token] [--root DIR] [--published FILE] [BINARY]
#
#   BINARY            the program to install; by default the file crypto-proxy beside this script or one directory up
#   --dry-run         print what would be done, and change nothing
#   --keep-token      when replacing the old proxy, keep a published token (the daemon then warns at every start)
#   --root DIR        install into the system below DIR, and do not touch the running systemd
#   --published FILE  SHA-256 digests (hex) of published tokens, instead of the built-in list
#
# Guarantees: the credentials are tested with `crypto-proxy check` before anything is changed. If a later step fails or is
# interrupted, files and service are restored. Replaced files are kept below /var/backups/crypto-proxy. In
# /etc/crypto.env only the lines that must change are changed. A takeover never changes the key pair, and an upgrade never
# changes the token. A second run changes nothing. No secret is printed or put on a command line. The installer does not
# change /etc/crypto-proxy/config.toml.
# Exit codes: 0 good, 1 failed, 64 usage, 78 the configuration was refused and nothing was changed.
set +x # a trace would print secrets
set -euo pipefail
shopt -s extglob nullglob
export LC_ALL=C # bytes, not characters: lines that are not ours are copied as they are
umask 077

readonly SERVICE=crypto-proxy.service
readonly UNIT_FOLDERS=(/etc /run /usr/local/lib /usr/lib /lib) # the first that has the unit counts
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly HERE
# shellcheck source=deploy/install/ground.sh
source "$HERE/install/ground.sh"
# shellcheck source=deploy/install/env_file.sh
source "$HERE/install/env_file.sh"
# shellcheck source=deploy/install/old_unit.sh
source "$HERE/install/old_unit.sh"
# shellcheck source=deploy/install/old_listener.sh
source "$HERE/install/old_listener.sh"
# shellcheck source=deploy/install/compose.sh
source "$HERE/install/compose.sh"
# shellcheck source=deploy/install/switch.sh
source "$HERE/install/switch.sh"
# The proxy tokens of src/config/published.json; install_test.sh compares the two.
readonly PUBLISHED='c91270c66c16de0269037f5c482099fbe82bf121dc4decd34265ef8b0b398382'
readonly SHORT=16
readonly DEFAULT_LISTEN=127.0.0.1:9000
# What the daemon reads from its environment, but for the pair, the token and the listener, which have rules of their own.
readonly CARRIED=(
    CRYPTO_API_KEY_LABEL CRYPTO_REST_BASE EXCHANGE_CUSTOM_BASE_URL CRYPTO_AUTH_DIAG CRYPTO_EXPECTED_IP AWS_INSTANCE_IP
)

root='' dry_run='' keep_token='' published=$PUBLISHED binary=''
scratch=''          # our temporary files, credentials among them
backup=''           # set by the first backup of this run
stage=''            # preparing, switching, starting: what to put back when it ends there; ended: nothing
changed=''          # something of the system was written, by this run or by one that was cut off
targets=()          # the paths that are switched, in this order
declare -A modes=() was_absent=()
ran=''              # yes when the service ran before, and was_enabled
was_enabled=''
starts=''           # when the service was started, in seconds
replaced=''         # something that was there before was replaced
old_unit=''         # the unit that is replaced: a path, or empty
ours=''             # yes when that unit is a crypto-proxy unit already
token_news=''       # why and how the token changed, when it did
first_start=''      # yes when the service was never enabled before
env_text=''         # /etc/crypto.env as it will be
leave_env=''        # yes when /etc/crypto.env is no source of our own unit
listen=''           # where the new daemon will listen
declare -A old_env=() old_from=() # the environment that the unit gives its process, and where each name came from
old_exec='' read_files=() credentials=()
env_path='' env_before='' env_is_new=''
rollback=() notes=()
told=''             # why it ends was said

say() { printf '%s\n' "$*"; }
note() { notes+=("$*"); } # said once it is sure that it will be done
warn() { printf 'WARNING: %s\n' "$*" >&2; }
die() { # exit code, text
    printf 'install.sh: %s\n' "$2" >&2
    told=yes
    exit "$1"
}

main() {
    parse_arguments "$@"
    trap leave EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 141' PIPE
    trap 'exit 143' TERM
    scratch=$(mktemp -d)
    readonly ENV_FILE=$root/etc/crypto.env UNIT=$root/etc/systemd/system/$SERVICE BIN=$root/usr/local/bin/crypto-proxy
    readonly BACKUPS=$root/var/backups/crypto-proxy
    locate_binary
    be_alone
    look_at_ground
    look_at_old_unit
    compose_env_file
    require_pair
    sweep_after_a_killed_run
    if [[ -n $env_is_new && -z $(pair_names ENV) ]]; then
        install_unfinished
        return
    fi
    check_candidate
    config_must_be_readable
    ((${#notes[@]} == 0)) || printf '%s\n' "${notes[@]}"
    remember_service
    switch
    start
    finish
}

# Runs at every exit: removes temporary credentials, and undoes what was begun.
leave() {
    local status=$?
    trap '' HUP INT PIPE TERM
    set +e
    [[ -z $scratch ]] || rm -rf -- "$scratch"
    case $stage in
        '') [[ $status == 0 || -n $told ]] || warn "stopped (status $status): nothing was changed." ;;
        preparing) put_back && warn "stopped (status $status) before anything was changed: $SERVICE goes on as it was. Correct the problem above (room: df -h), and run this command again." ;;
        switching | starting)
            if ((${#targets[@]} == 0)); then return; fi
            if live && [[ $stage == starting && -z $was_enabled ]]; then systemctl disable --quiet "$SERVICE"; fi
            put_back && put_service_back && warn "stopped (status $status), and everything was put back as it was. Correct the problem above, and run this command again."
            ;;
        ended) sweep ;;
    esac
}

# ---- arguments and sources ---------------------------------------------------------------------------------------

parse_arguments() {
    while (($#)); do
        case $1 in
            --dry-run) dry_run=yes ;;
            --keep-token) keep_token=yes ;;
            --root | --published)
                (($# >= 2)) || die 64 "$1 needs a value"
                if [[ $1 == --root ]]; then
                    [[ -d $2 ]] || die 64 "no such directory: $2"
                    root=$(cd "$2" && pwd)
                    [[ $root != / ]] || root=''
                else
                    published=$(digests_of "$2") || die 64 "no SHA-256 digest in $2"
                fi
                shift
                ;;
            -h | --help)
                sed -n '2,/^# Exit codes/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
                exit 0
                ;;
            -*) die 64 "unknown option $1 (--help lists them)" ;;
            *)
                [[ -z $binary ]] || die 64 'only one binary can be installed'
                binary=$1
                ;;
        esac
        shift
    done
    [[ -n $root || $EUID == 0 ]] || die 1 'must run as root'
}

digests_of() { grep -oE '\b[0-9a-f]{64}\b' -- "$1"; }

# Prints the first argument that is an existing file.
first_file() {
    local file
    for file in "$@"; do
        [[ -f $file ]] || continue
        printf '%s' "$file"
        return
    done
    return 1
}

locate_binary() {
    if [[ -z $binary ]]; then
        binary=$(first_file "$HERE/crypto-proxy" "$HERE/../crypto-proxy") ||
            die 64 'no binary: name it as the argument, or put it next to this script'
    fi
    [[ -f $binary && -x $binary ]] || die 64 "not an executable file: $binary"
    binary=$(realpath -- "$binary")
    new_unit=$(first_file "$HERE/$SERVICE" "$HERE/../$SERVICE") || die 1 "$SERVICE is missing beside this script"
    example=$(first_file "$HERE/crypto.env.example") || die 1 'crypto.env.example is missing beside this script'
    readonly binary new_unit example
}

# ---- testing it --------------------------------------------------------------------------------------------------

# The new binary checks its future environment. Its output holds no secret.
check_candidate() {
    local file=$scratch/crypto.env status=0 settings=() named=/etc/crypto.env
    if [[ -n $leave_env && ${#credentials[@]} != 0 ]]; then
        say 'The credentials are handed over by systemd when the service starts; they cannot be tried before.'
        return
    fi
    text_to_check >"$file"
    [[ -z $root || ! -e $root/etc/crypto-proxy/config.toml ]] || settings=(--config "$root/etc/crypto-proxy/config.toml")
    # The old process is stopped before the new one starts, so its address may be in use now.
    env -i PATH="$PATH" timeout 60 "$binary" check --may-be-taken "${settings[@]}" --env-file "$file" >"$scratch/check" 2>&1 || status=$?
    say 'crypto-proxy check says:'
    sed -e "s#$file#$named#g" -e 's/^/    /' "$scratch/check"
    rm -f -- "$file"
    ((status == 0)) || die 78 "the check failed (status $status): nothing was changed, the old unit stays in place"
}

# /etc/crypto.env as it will be. If our own unit also has other sources, all of them together; `named` then says so.
text_to_check() {
    local name beside='' sum=''
    for name in "${!old_env[@]}"; do
        [[ -n $ours && $name == @(CRYPTO|EXCHANGE_CUSTOM|AWS_INSTANCE_IP)* ]] || continue
        [[ ${old_from[$name]} == /etc/crypto.env ]] || beside=yes
        sum+="$name=\"$(escape_double "${old_env[$name]}")\""$'\n'
    done
    if [[ -n $beside ]]; then named='(all sources of the installed unit)'; else sum=''; fi
    [[ -n $beside && ${#credentials[@]} == 0 ]] || sum+=$env_text
    printf '%s' "$sum"
}

config_must_be_readable() {
    local file text='/etc/crypto-proxy/config.toml is not readable for all: the service has a user of its own, cannot read it and would not start. It holds no secret: chmod 0644, its folder 0755'
    ! config_is_readable || return 0
    # A drop-in of the operator may give the service another user or group.
    if [[ -n $ours ]]; then
        while IFS= read -r file; do
            grep -qE '^[[:space:]]*(User|Group|SupplementaryGroups|DynamicUser)[[:space:]]*=' -- "$file" || continue
            warn "$text"
            return
        done < <(drop_ins)
    fi
    die 78 "$text; nothing was changed"
}

config_is_readable() {
    local folder=$root/etc/crypto-proxy
    [[ -e $folder/config.toml ]] || return 0
    [[ $(stat -Lc %A -- "$folder") == *[xt] && $(stat -Lc %A -- "$folder/config.toml") == *r?? ]]
}

# ---- installing ----------------------------------------------------------------------------------------------------

# On a fresh machine: installs everything except the key pair.
install_unfinished() {
    switch
    ! live || act systemctl daemon-reload
    [[ -n $dry_run ]] || stage=ended
    finish
    say 'Not started: /etc/crypto.env was made from the example. Fill in CRYPTO_API_KEY and CRYPTO_API_SECRET (sudoedit /etc/crypto.env), then run this command again.'
}

# ---- starting, and the last words --------------------------------------------------------------------------------

live() { [[ -z $root && -d /run/systemd/system ]]; }

remember_service() {
    live || return 0
    ! systemctl is-active --quiet "$SERVICE" || ran=yes
    if systemctl is-enabled --quiet "$SERVICE" 2>/dev/null; then was_enabled=yes; else first_start=yes; fi
}

start() {
    if ! live; then
        [[ -n $root ]] || say 'Not started: systemd does not run here. Where it does, run this command again; elsewhere start /usr/local/bin/crypto-proxy serve by your own means.'
        [[ -n $dry_run ]] || stage=ended
        return
    fi
    if [[ -z $changed$dry_run && -n $ran && -n $was_enabled ]] && runs_what_is_installed; then return; fi
    [[ -n $dry_run ]] || stage=starting
    act systemctl daemon-reload
    act systemctl enable --quiet "$SERVICE"
    [[ -n $dry_run ]] || systemctl reset-failed "$SERVICE" 2>/dev/null || true
    printf -v starts '%(%s)T' -1
    # This returns when the daemon has told systemd that it listens (Type=notify), or has failed.
    act systemctl restart "$SERVICE" || start_failed
    [[ -n $dry_run ]] || systemctl is-active --quiet "$SERVICE" || start_failed
    [[ -n $dry_run ]] || stage=ended
}

# An earlier run that was killed may have replaced the files and not started the service.
runs_what_is_installed() {
    [[ $(systemctl show --property=NeedDaemonReload --value "$SERVICE") == no ]] || return 1
    [[ /proc/$(systemctl show --property=MainPID --value "$SERVICE")/exe -ef $BIN ]]
}

start_failed() {
    journalctl --no-pager --output=cat --lines=5 --since="@$starts" --unit="$SERVICE" _COMM=crypto-proxy 2>/dev/null | sed 's/^/    /' >&2 || true
    die 1 "$SERVICE does not run; see: journalctl -u $SERVICE -n 30"
}

# After the files are restored: systemd reads them again, and what ran before is started again.
put_service_back() {
    live || return 0
    systemctl daemon-reload
    [[ $stage == starting ]] || return 0
    systemctl reset-failed "$SERVICE" 2>/dev/null
    if [[ -z $ran ]]; then
        systemctl stop "$SERVICE"
    elif ! systemctl restart "$SERVICE"; then
        warn "$SERVICE was put back and does not start: journalctl -u $SERVICE -n 30"
        return 1
    fi
}

finish() {
    if [[ -n $token_news ]]; then
        say_token "$token_news"
    elif [[ -n $first_start && ( -z $old_unit || -n $ours ) ]]; then
        say_token 'The service starts for the first time.'
    fi
    say_way_back
}

say_token() { # why
    say ''
    say "$1"
    say 'The backend must show the same token, or each of its calls ends in 401:'
    say '  1. read it:    sudo grep ^CRYPTO_PROXY_TOKEN= /etc/crypto.env'
    say "  2. put it into CRYPTO_PROXY_TOKEN in the backend's environment"
    say '  3. restart the backend'
    say ''
}

main "$@"
