#!/bin/sh
# Makes this machine the backend @NAME@ of the onion service
#     @FRONTEND@
# It adds an onion service to tor's configuration, restarts tor, and prints the backend's address. Run it as root. It
# can be run again.
#
# The places are Debian's. Others come from the environment; for an instance of tor-instance-create(8), for example:
#     TORRC=/etc/tor/instances/NAME/torrc DIRECTORY=/var/lib/tor-instances/NAME/@NAME@ OWNER=_tor-NAME \
#         RESTART='systemctl restart tor@NAME' sh install.sh
set -eu

TORRC=${TORRC:-/etc/tor/torrc}
DIRECTORY=${DIRECTORY:-/var/lib/tor/@NAME@}
OWNER=${OWNER:-debian-tor}
RESTART=${RESTART:-systemctl restart tor@default}

fail() {
    echo "@NAME@: $*" >&2
    exit 1
}

[ -f "$TORRC" ] || fail "there is no $TORRC: install tor, or set TORRC to its configuration"
id "$OWNER" > /dev/null 2>&1 || fail "there is no user $OWNER: set OWNER to tor's user"

[ -d "$DIRECTORY" ] || install -d -m 700 -o "$OWNER" -g "$(id -gn "$OWNER")" "$DIRECTORY"
