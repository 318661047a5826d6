#!/bin/sh
# Installs the configuration and the keys beside this script on this machine, and starts both programs under systemd.
# Run it as root. It overwrites nothing.
@USAGE@set -eu
@FILE@cd "$(dirname "$0")"

KEYS='@KEYS@'
ETC=/etc/onionbalance
# No disk has the passphrase, and nothing has it after the installation.
PASSPHRASE=/run/onionbalance-passphrase

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || fail "run it as root"
[ -d /run/systemd/system ] || fail "there is no systemd: README of onionbalance tells how to run it without"
for user in onionbalance onionbalance-signer; do
    id "$user" > /dev/null 2>&1 || fail "there is no user $user: install onionbalance first, as its README tells"
done
onionbalance check -c config.yaml
for file in config.yaml passphrase.cred $KEYS; do
    [ ! -e "$ETC/$file" ] || fail "$ETC/$file exists, and nothing is overwritten"
done

# A failure before the start leaves none of these copies behind, so that the script can be run again.
trap 'rm -f "$PASSPHRASE"; (cd "$ETC" && rm -f config.yaml passphrase.cred $KEYS)' EXIT
install -d -m 750 -g onionbalance "$ETC"
for key in $KEYS; do
    install -m 400 -o onionbalance-signer "$key" "$ETC/"
done
install -m 640 -g onionbalance config.yaml "$ETC/"
@OPEN@
trap - EXIT
systemctl enable --now onionbalance
onionbalance status --wait="${WAIT:-120}"
