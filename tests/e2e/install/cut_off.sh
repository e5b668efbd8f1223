# shellcheck shell=bash disable=SC2016,SC2154 # dollars for the faults; variables of install_test.sh
# A run that fails or is cut off at any step: before and after are all that is ever left. Part of install_test.sh.

system_files() { (cd "$root" && find . -path ./var/backups -prune -o -type d -o -printf '%p %y %m %U:%G %T@ %s %l\n' -type f -exec sha256sum {} + | sort); }
no_leftovers() { is "$(find "$root" -name '*.install-*')" ''; }
switched() {
    unit_is_new && cmp -s "$work/new/crypto-proxy" "$root/usr/local/bin/crypto-proxy" && fresh &&
        is "$(value CRYPTO_EXPECTED_IP)" 192.0.2.7 && absent "$unit.d" && no_leftovers
}
each_file_is_whole() {
    local file
    { unit_is_new || unit_is_old; } && { cmp -s "$env_file" "$root/../env-before" || fresh; } || return 1
    file=$root/usr/local/bin/crypto-proxy
    cmp -s "$work/new/crypto-proxy" "$file" || is "$(cat "$file")" 'an older one'
}

put_back_and_said() {
    [[ $status != @(0|124) ]] && is "$(system_files)" "$before" &&
        grep -qE 'nothing was changed|before anything was changed|everything was put back as it was' "$root/../out"
}

fault_at() { # step, commands of a shell
    echo 0 >"$work/steps"
    cat >"$work/fault" <<FAULT
read -r step <"$work/steps"
step=\$((step + 1))
echo "\$step" >"$work/steps"
read -r installer <"$work/pid"
[ "\$step" != $1 ] || { $2; }
FAULT
}
fault_came() { [[ $(cat "$work/steps") -ge $1 ]]; }

# An error, as of a full disk or of one that is read-only; a signal, and the program goes on; or the end of everything.
declare -A faults=(
    [error]='echo "No space left on device (staged)" >&2; exit 1'
    [signal]='case $((step % 3)) in 0) kill -INT "$installer" ;; 1) kill -TERM "$installer" ;; 2) kill -HUP "$installer" ;; esac'
    [SIGKILL]='kill -KILL "$installer"; exit 1'
)
for fault in error signal SIGKILL; do
    for ((at = 1; at <= 60; at++)); do
        begin "takeover, $fault at step $at"
        takeover_is_staged
        cp -- "$env_file" "$root/../env-before"
        before=$(system_files)
        fault_at "$at" "${faults[$fault]}"
        install_it 2>/dev/null # the shell tells of who was killed
        rm -- "$work/fault"
        fault_came "$at" || break
        if [[ $status == 0 ]]; then
            no_leftovers >/dev/null || install_it # they could not be taken away; the next run does
            check 'it ended well: all is switched' switched
        elif [[ $fault == SIGKILL ]]; then
            check 'each file is the old one or the new one' each_file_is_whole
            install_it
            check 'running it again ends well, and all is switched' switched
        else
            check 'all is as it was, and it says so' put_back_and_said
        fi
    done
    check "$fault was tried at more than ten steps" test "$at" -gt 10 -a "$at" -lt 60
done

# The same with file systems as they are.
if [[ -n ${CRYPTO_PROXY_TEST_NAMESPACE-} ]]; then
    while read -r folder options; do
        begin "$folder is $options"
        takeover_is_staged
        cp -a "$root$folder" "$root/../kept"
        mount -t tmpfs -o size=64k,mode=755 tmpfs "$root$folder"
        cp -a "$root/../kept/." "$root$folder"
        case $options in
            full) head -c 100000 /dev/zero >"$root$folder/ballast" 2>/dev/null ;;
            read-only) mount -o remount,ro "$root$folder" ;;
            mounted) umount "$root$folder" && mount --bind "$root$folder/crypto-proxy.service" "$root$folder/crypto-proxy.service" ;;
        esac
        before=$(system_files)
        install_it
        check 'ends with an error' ended 1
        check 'all is as it was' is "$(system_files)" "$before"
        check 'it says so' says 'before anything was changed'
        check 'it says why' grep -qE 'No space left on device|Read-only file system|Invalid cross-device link|Device or resource busy' "$root/../out"
        umount "$root$folder" 2>/dev/null || umount "$root$folder/crypto-proxy.service"
        # What the mount hid is there again.
        install_it
        check 'put right, it ends well' ended 0
    done <<'ROWS'
/etc full
/etc/systemd/system full
/usr/local/bin full
/var/backups full
/etc read-only
/etc/systemd/system read-only
/usr/local/bin read-only
/var/backups read-only
/etc/systemd/system mounted
ROWS
else
    printf '%s\n' 'SKIPPED: no mount namespace (unshare -m), so no full and no read-only file system was tried'
fi
