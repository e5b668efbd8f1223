# shellcheck shell=bash disable=SC2034,SC2154 # variables of install.sh
# Putting files in place, each in one step, with the way back. Part of install.sh.

switch() {
    switch_env_file
    switch_binary
    if [[ -n $old_unit && -z $ours ]]; then retire_drop_ins; fi
    switch_unit
}

switch_env_file() {
    [[ -z $leave_env ]] || return 0
    printf '%s' "$env_text" >"$scratch/crypto.env"
    if [[ -e $env_path && $env_text == "$env_before" ]] && has_mode "$env_path" 600; then return; fi
    replace "$scratch/crypto.env" "$env_path" 0600 crypto.env
}

switch_binary() {
    if cmp -s -- "$binary" "$BIN" && has_mode "$BIN" 755; then return; fi
    replace "$binary" "$BIN" 0755 crypto-proxy
}

switch_unit() {
    if cmp -s -- "$new_unit" "$UNIT_DIR/$SERVICE" && [[ ! -L $UNIT_DIR/$SERVICE ]]; then return; fi
    replace "$new_unit" "$UNIT_DIR/$SERVICE" 0644 "$SERVICE"
}

# Drop-ins of the old unit would bend the new one. Those of a crypto-proxy unit are the operator's, and stay.
retire_drop_ins() {
    local folder=$UNIT_DIR/$SERVICE.d file
    while IFS= read -r file; do
        [[ $file == "$folder"/* ]] || warn "$file was written for the old unit and still applies to the new one"
    done < <(drop_ins)
    [[ -d $folder ]] || return 0
    keep_old "$folder" "$SERVICE.d"
    act rm -rf -- "$folder"
}

has_mode() { # file mode; owned by root, where we could give it to root
    [[ $(stat -c %a -- "$1") == "$2" && ( $EUID != 0 || $(stat -c %u:%g -- "$1") == 0:0 ) ]]
}

live() { [[ -z $root && -d /run/systemd/system ]]; }

act() {
    if [[ -n $dry_run ]]; then
        say "would run: $*"
    else
        changed=yes
        "$@"
    fi
}

# Puts a copy in place of a file in one step, so that nobody ever sees half of it.
replace() { # source target mode name-in-backup
    local half
    keep_old "$2" "$4"
    if [[ -n $dry_run ]]; then
        say "would write: $2 (mode $3)"
        return
    fi
    changed=yes
    (umask 022 && mkdir -p -- "${2%/*}")
    half=$(mktemp "$2.XXXXXX")
    cp -- "$1" "$half"
    chmod "$3" -- "$half"
    [[ $EUID != 0 ]] || chown 0:0 -- "$half"
    sync -- "$half"
    mv -fT -- "$half" "$2"
    ! command -v restorecon >/dev/null || restorecon -- "$2" || true
    say "wrote: $2 (mode $3)"
}

# Copies what is about to be replaced, and notes how to get it back.
keep_old() { # path name-in-backup
    local path half
    path=$(quoted "$1") half=$(quoted "$1.rolling-back")
    if [[ ! -e $1 && ! -L $1 ]]; then
        # Credentials are never removed: what was filled in since then would be gone.
        if [[ $1 == "$env_path" ]]; then
            rollback+=("[ ! -e $path ] || mv -- $path $path.rolled-back-\$stamp")
        else
            rollback+=("rm -f -- $path")
        fi
        return
    fi
    make_backup_folder
    replaced=yes
    rollback+=("rm -rf -- $half" "cp -aT -- $(quoted "$backup/$2") $half")
    if [[ $1 == "$env_path" ]]; then rollback+=("[ ! -e $path ] || cp -a -- $path $path.rolled-back-\$stamp"); fi
    if [[ -d $1 ]]; then rollback+=("[ ! -e $path ] || mv -T -- $path $path.rolled-back-\$stamp"); fi
    rollback+=("mv -fT -- $half $path")
    if [[ -n $dry_run ]]; then
        say "would back up: $1 to $backup"
        return
    fi
    cp -a -- "$1" "$backup/$2"
    # A link is restored as a link, but what it led to may change later.
    [[ ! -L $1 || ! -f $1 ]] || cp -L -- "$1" "$backup/$2.content"
}

make_backup_folder() {
    local stamp count=1
    [[ -z $backup ]] || return 0
    stamp=$BACKUPS/$(date -u +%Y%m%dT%H%M%SZ)
    backup=$stamp
    while [[ -e $backup ]]; do
        count=$((count + 1))
        backup=$stamp-$count
    done
    [[ -z $dry_run ]] || return 0
    (umask 022 && mkdir -p -- "${BACKUPS%/*}")
    mkdir -p -- "$backup" # 0700: copies of credentials
}

quoted() { printf '%q' "$1"; }

say_rollback() {
    local last
    if [[ -n $dry_run ]]; then
        say 'Dry run: nothing was written.'
        return
    fi
    if [[ -z $changed ]]; then
        say 'Everything was in place: nothing was changed.'
        last=$(find "$BACKUPS" -mindepth 2 -maxdepth 2 -name rollback.sh 2>/dev/null | sort | tail -n 1) || true
        [[ -z $last ]] || { say "To go back to before the last change: sudo sh $last, that is:" && sed 's/^/    /' "$last"; }
        return
    fi
    # Nothing was replaced, and no unit stands behind ours: there is no state to go back to.
    if [[ -z $replaced && ( -z $old_unit || -n $ours ) ]]; then
        [[ -n $old_unit ]] || say "To stop it again: sudo systemctl disable --now $SERVICE. What was written is listed above; nothing was replaced."
        return
    fi
    [[ -n $old_unit ]] || rollback=("systemctl disable --now $SERVICE" "${rollback[@]}")
    rollback=('set -e' "stamp=\$(date -u +%Y%m%dT%H%M%SZ)" "${rollback[@]}" 'systemctl daemon-reload')
    [[ -z $old_unit ]] || rollback+=("systemctl restart $SERVICE")
    make_backup_folder
    printf '%s\n' "${rollback[@]}" >"$backup/rollback.sh"
    say "To go back: sudo sh $backup/rollback.sh, that is:"
    printf '    %s\n' "${rollback[@]}"
}
