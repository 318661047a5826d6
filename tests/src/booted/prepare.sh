# As the maintainer scripts of Debian's tor: its user, its directories, and its service enabled.
systemd-sysusers --inline 'u debian-tor - "tor" /var/lib/tor'
install -d -m 2700 -o debian-tor -g debian-tor /var/lib/tor
install -d -m 2750 -o debian-tor -g adm /var/log/tor
touch /etc/tor/torrc
systemctl enable tor
