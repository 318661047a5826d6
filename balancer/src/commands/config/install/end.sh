
# A torrc that tor does not accept is never put in place.
if ! grep -qsxF "HiddenServiceDir $DIRECTORY" "$TORRC"; then
    cp -p "$TORRC" "$TORRC.new"
    cat >> "$TORRC.new" << END

@TORRC@
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
@OWN@
echo "@NAME@=$(cat "$DIRECTORY/hostname")"
