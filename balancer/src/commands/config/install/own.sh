ADDRESS=@ADDRESS@
[ "$(cat "$DIRECTORY/hostname")" = "$ADDRESS" ] || fail "$DIRECTORY is not the service $ADDRESS"
