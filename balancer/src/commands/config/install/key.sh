
# The key was made with the configuration. Tor makes the other files of the directory from it. Beside this script it is
# removed.
KEY="$(dirname "$0")/@KEY@"
if [ -f "$KEY" ]; then
    if [ ! -e "$DIRECTORY/@KEY@" ]; then
        install -m 600 -o "$OWNER" -g "$(id -gn "$OWNER")" "$KEY" "$DIRECTORY/"
    elif ! cmp -s "$KEY" "$DIRECTORY/@KEY@"; then
        fail "$DIRECTORY has the key of another service: set DIRECTORY to another place"
    fi
    shred -u "$KEY"
elif [ ! -e "$DIRECTORY/@KEY@" ]; then
    fail "there is no $KEY: copy the whole directory of this script"
fi
