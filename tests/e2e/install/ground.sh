# shellcheck shell=bash disable=SC2154 # variables of install_test.sh
# What stands where the installer reads and writes: nothing hangs, nothing is changed, and it says what, why and what next.
# Part of install_test.sh.

stage_by() { # word of `kinds`, path below the root
    local path=$root$2
    rm -rf -- "$path"
    mkdir -p -- "${path%/*}"
    case $1 in
        fifo) mkfifo "$path" ;;
        directory) mkdir "$path" ;;
        socket) python3 -c 'import socket, sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])' "$path" ;;
        device) mknod "$path" c 1 5 ;; # /dev/zero
        lost) ln -s /nowhere/at/all "$path" ;;
        mask) ln -s /dev/null "$path" ;;
        file) : >"$path" ;;
    esac
}

# Each row: what stands at a path, and what is said of it.
while read -r kind path said; do
    begin "a $kind at $path"
    takeover_is_staged
    stage_by "$kind" "$path"
    before=$(snapshot)
    install_it
    check 'ends with 78' ended 78
    check 'nothing is changed' is "$(snapshot)" "$before"
    check 'it says what' says "$said"
    check 'it says so, and what next' says 'and run this command again; nothing was changed'
done <<'ROWS'
fifo /etc/crypto.env /etc/crypto.env is a fifo
directory /etc/crypto.env /etc/crypto.env is a directory
socket /etc/crypto.env /etc/crypto.env is a socket
device /etc/crypto.env /etc/crypto.env is a character special file
lost /usr/local/bin/crypto-proxy /usr/local/bin/crypto-proxy is a link that leads nowhere
lost /etc/systemd/system/crypto-proxy.service crypto-proxy.service is a link that leads nowhere
fifo /etc/crypto-proxy/config.toml /etc/crypto-proxy/config.toml is a fifo
directory /etc/crypto-proxy/callers.toml /etc/crypto-proxy/callers.toml is a directory
file /etc/crypto-proxy /etc/crypto-proxy is a regular
fifo /usr/local/bin/crypto-proxy /usr/local/bin/crypto-proxy is a fifo
directory /usr/local/bin/crypto-proxy /usr/local/bin/crypto-proxy is a directory
fifo /etc/systemd/system/crypto-proxy.service crypto-proxy.service is a fifo
directory /etc/systemd/system/crypto-proxy.service crypto-proxy.service is a directory
mask /etc/systemd/system/crypto-proxy.service sudo systemctl unmask crypto-proxy.service
file /etc/systemd/system/crypto-proxy.service sudo systemctl unmask crypto-proxy.service
fifo /etc/systemd/system/crypto-proxy.service.d/20.conf 20.conf is a fifo
device /etc/systemd/system/crypto-proxy.service.d/20.conf 20.conf is a character special file
fifo /opt/old.env /opt/old.env is a fifo
device /opt/old.env /opt/old.env is a character special file
file /var/lib/crypto-proxy /var/lib/crypto-proxy is a regular
file /var/backups/crypto-proxy /var/backups/crypto-proxy is a regular
ROWS

begin 'a fifo in the place of the old program'
takeover_is_staged
stage_by fifo /opt/old.py
install_it
check 'is not read' ended 0

begin 'a drop-in that is masked'
takeover_is_staged
stage_by mask "/etc/systemd/system/crypto-proxy.service.d/10-old.conf"
mkdir -p "$root/usr/lib/systemd/system/crypto-proxy.service.d"
printf '[Service]\nEnvironment=CRYPTO_EXPECTED_IP=192.0.2.8\n' >"$root/usr/lib/systemd/system/crypto-proxy.service.d/10-old.conf"
install_it
check 'says nothing' is "$(value CRYPTO_EXPECTED_IP)" ''

# What others can write, and what goes on being read: refused, with the way out.
while read -r staged path way; do
    begin "$path, ${way:-of another user}, $staged"
    "${staged}_is_staged"
    if [[ -n $way ]]; then chmod "$way" "$root$path"; else chown 65534 "$root$path"; fi
    before=$(snapshot)
    install_it
    check 'ends with 78' ended 78
    check 'nothing is changed' is "$(snapshot)" "$before"
    check 'it names the mode' says "with mode $(stat -c %a "$root$path")"
    check 'it says what next' says "sudo chown root: $root$path; sudo chmod go-w $root$path; and run this command again"
done <<'ROWS'
takeover /etc/crypto.env 0666
takeover /etc/crypto.env 0620
takeover /etc/crypto.env
upgrade /etc/crypto.env 0602
upgrade /etc/systemd/system/crypto-proxy.service.d/10-old.conf 0666
upgrade /etc/systemd/system/crypto-proxy.service.d/10-old.conf
takeover /var/backups/crypto-proxy 0777
ROWS

# What is read once is taken, with a warning; what is replaced is root's alone afterwards.
while read -r staged path; do
    begin "$path that others can write, $staged"
    "${staged}_is_staged"
    chmod 0666 "$root$path"
    install_it
    check 'ends well' ended 0
    check 'with a warning' says "$path belongs to root with mode 666"
    check 'the unit is new, and for root alone' is "$(cmp "$unit" "$project/crypto-proxy.service" 2>&1) $(stat -c %a "$unit")" ' 644'
done <<'ROWS'
takeover /etc/systemd/system/crypto-proxy.service
takeover /etc/systemd/system/crypto-proxy.service.d/10-old.conf
takeover /opt/old.env
upgrade /etc/systemd/system/crypto-proxy.service
ROWS

begin 'a second installer at the same time'
takeover_is_staged
before=$(snapshot)
exec {held}<"$root"
flock "$held"
install_it
exec {held}<&-
check 'is refused' ended 1
check 'it says why' says 'another run of this installer'
check 'nothing is changed' is "$(snapshot)" "$before"
install_it
check 'afterwards it ends well' ended 0
