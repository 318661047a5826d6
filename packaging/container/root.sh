# The files of one image: programs with the libraries that they need, the users, and the directories that volumes are mounted on.
# There is no shell and nothing else. `sh root.sh ROOT PROGRAM...`, as root, on the system that the programs were built for.
set -eu
root=$1
shift

install -d "$root/usr/bin" "$root/etc/onionbalance" "$root/proc" "$root/sys" "$root/dev"
install -d -m 1777 "$root/tmp" "$root/run/onionbalance-status"
for program in "$@"; do
    install -m 755 "$program" "$root/usr/bin/"
    # `NAME => /path (address)`, and the loader's own path in front.
    ldd "$program" | sed -n 's/^[^/]*\(\/[^ ]*\) (0x.*/\1/p' | while read -r library; do
        install -D -m 755 "$library" "$root$library"
    done
done

# Numbers that no Debian package takes. Volumes keep them, so they never change.
cat >"$root/etc/passwd" <<END
root:x:0:0::/:/nonexistent
onionbalance-signer:x:10001:10001::/:/nonexistent
onionbalance:x:10002:10000::/:/nonexistent
tor:x:10003:10003::/:/nonexistent
END
cat >"$root/etc/group" <<END
root:x:0:
onionbalance:x:10000:
onionbalance-signer:x:10001:
tor:x:10003:onionbalance
END

# The same in all images: an empty volume gets the owner and the mode of the directory on which it is mounted first.
install -d -m 2750 -o 10001 -g 10000 "$root/run/onionbalance"
install -d "$root/var" && ln -s ../run "$root/var/run"
install -d -m 700 -o 10002 -g 10000 "$root/var/lib/onionbalance"
install -d -m 2750 -o 10003 -g 10003 "$root/run/tor"
install -d -m 700 -o 10003 -g 10003 "$root/var/lib/tor"
