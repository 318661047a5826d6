#!/bin/sh
# Makes this machine the backend web2 of the onion service
#     25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion
# It adds an onion service to tor's configuration, restarts tor, and prints the backend's address. Run it as root. It
# can be run again.
#
# The places are Debian's. Others come from the environment; for an instance of tor-instance-create(8), for example:
#     TORRC=/etc/tor/instances/NAME/torrc DIRECTORY=/var/lib/tor-instances/NAME/web2 OWNER=_tor-NAME \
#         RESTART='systemctl restart tor@NAME' sh install.sh
set -eu

TORRC=${TORRC:-/etc/tor/torrc}
DIRECTORY=${DIRECTORY:-/var/lib/tor/web2}
OWNER=${OWNER:-debian-tor}
RESTART=${RESTART:-systemctl restart tor@default}

fail() {
    echo "web2: $*" >&2
    exit 1
}

[ -f "$TORRC" ] || fail "there is no $TORRC: install tor, or set TORRC to its configuration"
id "$OWNER" > /dev/null 2>&1 || fail "there is no user $OWNER: set OWNER to tor's user"

[ -d "$DIRECTORY" ] || install -d -m 700 -o "$OWNER" -g "$(id -gn "$OWNER")" "$DIRECTORY"

# The key was made with the configuration. Tor makes the other files of the directory from it. Beside this script it is
# removed.
KEY="$(dirname "$0")/hs_ed25519_secret_key"
if [ -f "$KEY" ]; then
    if [ ! -e "$DIRECTORY/hs_ed25519_secret_key" ]; then
        install -m 600 -o "$OWNER" -g "$(id -gn "$OWNER")" "$KEY" "$DIRECTORY/"
    elif ! cmp -s "$KEY" "$DIRECTORY/hs_ed25519_secret_key"; then
        fail "$DIRECTORY has the key of another service: set DIRECTORY to another place"
    fi
    shred -u "$KEY"
elif [ ! -e "$DIRECTORY/hs_ed25519_secret_key" ]; then
    fail "there is no $KEY: copy the whole directory of this script"
fi

# By this file tor accepts the frontend's visitors. Without it tor does not start with HiddenServiceOnionBalanceInstance.
FRONTEND='MasterOnionAddress 25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion'
if [ ! -e "$DIRECTORY/ob_config" ]; then
    echo "$FRONTEND" > "$DIRECTORY/ob_config"
    chown "$OWNER:" "$DIRECTORY/ob_config"
elif ! grep -qxF "$FRONTEND" "$DIRECTORY/ob_config"; then
    fail "$DIRECTORY/ob_config names another frontend: add the line $FRONTEND"
fi

# A torrc that tor does not accept is never put in place.
if ! grep -qsxF "HiddenServiceDir $DIRECTORY" "$TORRC"; then
    cp -p "$TORRC" "$TORRC.new"
    cat >> "$TORRC.new" << END

HiddenServiceDir $DIRECTORY
HiddenServicePort 80 127.0.0.1:80
HiddenServiceOnionBalanceInstance 1
END
    defaults=/usr/share/tor/tor-service-defaults-torrc
    if [ "$TORRC" = /etc/tor/torrc ] && [ -f "$defaults" ]; then
        set -- --defaults-torrc "$defaults"
    fi
    if ! tor "$@" -f "$TORRC.new" --verify-config > "$TORRC.log" 2>&1; then
        cat "$TORRC.log" >&2
        rm "$TORRC.new" "$TORRC.log"
        fail "tor does not accept the new lines: $TORRC is as it was"
    fi
    rm "$TORRC.log"
    mv "$TORRC.new" "$TORRC"
fi

# After a reload tor would not accept the frontend's visitors.
sh -c "$RESTART" || fail "tor could not be restarted by: $RESTART"

tries=30
until [ -s "$DIRECTORY/hostname" ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || fail "tor has made no $DIRECTORY/hostname in 30 seconds: see its log"
    sleep 1
done
ADDRESS=y47iqrgrj4fevtx4qompslfl36qug5jcflkl43xnhbxrqxvizqym5rad.onion
[ "$(cat "$DIRECTORY/hostname")" = "$ADDRESS" ] || fail "$DIRECTORY is not the service $ADDRESS"
echo "web2=$(cat "$DIRECTORY/hostname")"
