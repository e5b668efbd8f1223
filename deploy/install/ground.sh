# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # variables of install.sh
# Checks the paths that the installer reads and writes, before it reads them: a fifo or a device would block it for ever.
# Part of install.sh. Files that stay in force must be writable by root only; for files that are read once, it warns.

# The kernel releases the lock when this process ends. It needs no lock file.
be_alone() {
    command -v flock >/dev/null || return 0
    exec {lock}<"${root:-/}"
    flock --nonblock "$lock" || die 1 'another run of this installer is at work. Wait until it has ended, and run this command again; nothing was changed'
}

look_at_ground() {
    local folder
    for folder in etc etc/systemd/system etc/crypto-proxy usr/local/bin var/lib/crypto-proxy var/backups/crypto-proxy; do
        must_be directory "$root/$folder"
    done
    [[ -z $root || ! -L $ENV_FILE ]] || die 1 "$ENV_FILE is a symbolic link, which could lead out of --root"
    must_be 'regular file' "$ENV_FILE" "$root"/etc/crypto-proxy/{config,callers}.toml "$BIN"
    must_be_roots_alone "$ENV_FILE" "$BACKUPS"
    for folder in "${UNIT_FOLDERS[@]}"; do
        must_not_be_masked "$root$folder/systemd/system/$SERVICE"
        must_be 'regular file' "$root$folder/systemd/system/$SERVICE"
        [[ ! -e $root$folder/systemd/system/$SERVICE ]] || break # systemd looks no further
    done
}

# Follows symbolic links: their target counts.
must_be() { # kind path...
    local want=$1 path kind
    for path in "${@:2}"; do
        [[ -e $path || -L $path ]] || continue
        kind=$(stat -Lc %F -- "$path" 2>/dev/null) || kind='link that leads nowhere'
        [[ ${kind/regular empty/regular} == "$want" ]] ||
            die 78 "$path is a $kind, where a $want belongs. Look who put it there, take it away, and run this command again; nothing was changed"
    done
}

# An empty unit file also masks the unit.
must_not_be_masked() {
    [[ $1 -ef /dev/null || (-f $1 && ! -s $1) ]] || return 0
    die 78 "$SERVICE is masked ($1 is empty): somebody switched it off for good. If it is to run: sudo systemctl unmask $SERVICE, and run this command again; nothing was changed"
}

must_be_roots_alone() { # path...
    local path
    for path; do
        ! others_write "$path" ||
            die 78 "$(whose "$path"): others than root could have written it, and it decides who may do what. Look at what it says; then: sudo chown root: $path; sudo chmod go-w $path; and run this command again; nothing was changed"
    done
}

# Our own unit keeps reading its environment file; that of an old unit is read once.
judge_source() { # path
    must_be 'regular file' "$1"
    if [[ -n $ours ]]; then must_be_roots_alone "$1"; else warn_of_writers "$1"; fi
}

warn_of_writers() { # path
    ! others_write "$1" || warn "$(whose "$1"): others than root could have written what is taken from it"
}

others_write() {
    local owner mode
    [[ -e $1 ]] || return 1
    read -r owner mode < <(stat -Lc '%u %a' -- "$1")
    ((owner != 0 && owner != EUID || 8#$mode & 8#022))
}

whose() { printf '%s belongs to %s' "$1" "$(stat -Lc '%U with mode %a' -- "$1")"; }
