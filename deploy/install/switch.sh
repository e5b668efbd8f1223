# shellcheck shell=bash disable=SC2034,SC2153,SC2154 # variables of install.sh
# Replaces files, and can restore them. Part of install.sh. First every new file is written beside its target, and
# rollback.sh is written; then only renames follow. If a step fails or is interrupted, renames restore the old files.
# Beside a file, `.install-new` is the new one and `.install-old` the old one. Both are gone when a run has ended.

switch() {
    prepare_env_file
    prepare_binary
    if [[ -n $old_unit && -z $ours ]]; then prepare_retirement; fi
    prepare_unit
    commit
}

prepare_env_file() {
    [[ -z $leave_env ]] || return 0
    printf '%s' "$env_text" >"$scratch/crypto.env"
    if [[ -e $env_path && $env_text == "$env_before" ]] && has_mode "$env_path" 600; then return; fi
    prepare "$scratch/crypto.env" "$env_path" 0600 crypto.env
}

prepare_binary() {
    if cmp -s -- "$binary" "$BIN" && has_mode "$BIN" 755; then return; fi
    prepare "$binary" "$BIN" 0755 crypto-proxy
}

prepare_unit() {
    if cmp -s -- "$new_unit" "$UNIT" && [[ ! -L $UNIT ]] && has_mode "$UNIT" 644; then return; fi
    prepare "$new_unit" "$UNIT" 0644 "$SERVICE"
}

# Drop-ins of the old unit would change the new one. Those of a crypto-proxy unit are the operator's, and stay.
prepare_retirement() {
    local file
    while IFS= read -r file; do
        [[ $file == "$UNIT.d"/* ]] || warn "$file was written for the old unit and still applies to the new one"
    done < <(drop_ins)
    [[ -d $UNIT.d ]] || return 0
    prepare '' "$UNIT.d" '' "$SERVICE.d"
}

has_mode() { # file mode; owned by root, where we could give it to root
    [[ $(stat -c %a -- "$1") == "$2" && ( $EUID != 0 || $(stat -c %u:%g -- "$1") == 0:0 ) ]]
}

live() { [[ -z $root && -d /run/systemd/system ]]; }

act() {
    if [[ -n $dry_run ]]; then
        say "would run: $*"
    else
        "$@"
    fi
}

# Prepares a copy beside its target; without a source, the target will be deleted.
prepare() { # source target mode name-in-backup
    [[ -n $dry_run ]] || stage=preparing
    keep_old "$2" "$4"
    if [[ -n $dry_run ]]; then
        if [[ -n $1 ]]; then say "would write: $2 (mode $3)"; else say "would remove: $2"; fi
        return
    fi
    rm -rf -- "$2.install-new" "$2.install-old" # of a run that was killed
    targets+=("$2")
    modes[$2]=$3
    [[ -n $1 ]] || return 0
    (umask 022 && mkdir -p -- "${2%/*}")
    cp -T -- "$1" "$2.install-new"
    chmod "$3" -- "$2.install-new"
    [[ $EUID != 0 ]] || chown 0:0 -- "$2.install-new"
    sync -- "$2.install-new"
    # A hard link to the same file needs no disk space. It also fails if the rename would.
    if [[ -e $2 || -L $2 ]]; then ln -PT -- "$2" "$2.install-old"; else was_absent[$2]=yes; fi
}

commit() {
    local target
    ((${#targets[@]} > 0)) || return 0
    write_way_back
    stage=switching changed=yes
    for target in "${targets[@]}"; do
        if [[ -z ${modes[$target]} ]]; then
            mv -T -- "$target" "$target.install-old"
            say "removed: $target"
            continue
        fi
        mv -fT -- "$target.install-new" "$target"
        ! command -v restorecon >/dev/null || restorecon -- "$target" || true
        say "wrote: $target (mode ${modes[$target]})"
    done
}

# Restores everything as it was before this run, even after an interruption.
put_back() {
    local i target bad=''
    for ((i = ${#targets[@]} - 1; i >= 0; i--)); do
        target=${targets[i]}
        if [[ $target.install-old -ef $target ]]; then
            continue # it was not replaced
        elif [[ -e $target.install-old || -L $target.install-old ]]; then
            mv -fT -- "$target.install-old" "$target" || bad+=" $target"
        elif [[ $stage != preparing && -v was_absent[$target] && ! -e $target.install-new ]]; then
            rm -f -- "$target" || bad+=" $target"
        fi
    done
    if [[ -n $bad ]]; then
        warn "could not be put back:$bad. Find the cause, then: sudo sh $backup/rollback.sh"
        return 1
    fi
    sweep
    if [[ -n $backup ]]; then
        rm -rf -- "$backup"
        rmdir --ignore-fail-on-non-empty -- "$BACKUPS" 2>/dev/null
    fi
    return 0
}

# Removes the files beside the targets. For a drop-in directory, also its contents: they are in the backup.
sweep() {
    local target left=()
    for target in "$env_path" "$BIN" "$UNIT" "$UNIT.d"; do left+=("$target.install-new" "$target.install-old"); done
    rm -rf -- "${left[@]}"
}

# Removes what an earlier, killed run left behind; every target is complete by now.
sweep_after_a_killed_run() {
    local left=("$env_path".install-* "$BIN".install-* "$UNIT".install-* "$UNIT.d".install-*) last
    ((${#left[@]} > 0)) || return 0
    last=$(last_way_back)
    note "An earlier run of this installer was interrupted; this one finishes it.${last:+ To restore the state before it: sudo sh $last}"
    changed=yes
}

# Copies a file that will be replaced, and adds the command that restores it.
keep_old() { # path name-in-backup
    local path half
    path=$(quoted "$1") half=$(quoted "$1.rolling-back")
    if [[ ! -e $1 && ! -L $1 ]]; then
        # Credentials are never deleted: what the operator has filled in since then would be lost.
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
    # A link is restored as a link, but its target may change later.
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

# Nothing was replaced, and there is no other unit: there is no old state to restore.
way_back_exists() { [[ -n $replaced || ( -n $old_unit && -z $ours ) ]]; }

write_way_back() {
    way_back_exists || return 0
    [[ -n $old_unit ]] || rollback=("systemctl disable --now $SERVICE" "${rollback[@]}")
    rollback=('set -e' "stamp=\$(date -u +%Y%m%dT%H%M%SZ)" "${rollback[@]}" 'systemctl daemon-reload')
    [[ -z $old_unit ]] || rollback+=("systemctl restart $SERVICE")
    make_backup_folder
    printf '%s\n' "${rollback[@]}" >"$backup/rollback.sh"
    sync -- "$backup/rollback.sh"
}

last_way_back() { find "$BACKUPS" -mindepth 2 -maxdepth 2 -name rollback.sh 2>/dev/null | sort | tail -n 1; }

say_way_back() {
    local last
    if [[ -n $dry_run ]]; then
        say 'Dry run: nothing was written.'
    elif ((${#targets[@]} == 0)); then
        say 'Everything was in place: nothing was changed.'
        last=$(last_way_back) || true
        [[ -z $last ]] || { say "To go back to before the last change: sudo sh $last, that is:" && sed 's/^/    /' "$last"; }
    elif way_back_exists; then
        say "To go back: sudo sh $backup/rollback.sh, that is:"
        printf '    %s\n' "${rollback[@]}"
    elif [[ -z $old_unit ]]; then
        say "To stop it again: sudo systemctl disable --now $SERVICE. What was written is listed above; nothing was replaced."
    fi
}
