
# The signer opens the keys before anything is started.
(umask 077 && : > "$ETC/passphrase")
if [ $# -gt 0 ]; then
    cat "$1" > "$ETC/passphrase"
else
    systemd-ask-password -n "Passphrase of the key:" > "$ETC/passphrase"
fi
chown onionbalance-signer "$ETC/passphrase"
runuser -u onionbalance-signer -- onionbalance-signer check -c "$ETC/config.yaml" --passphrase-file "$ETC/passphrase"

# The passphrase becomes a credential: systemd on this machine alone can open it, and gives it to the signer alone.
(umask 077 && systemd-creds encrypt --name=passphrase "$ETC/passphrase" "$ETC/passphrase.cred")
shred -u "$ETC/passphrase"
install -d /etc/systemd/system/onionbalance-signer.service.d
printf '[Service]\nLoadCredentialEncrypted=passphrase:%s/passphrase.cred\n' "$ETC" \
    > /etc/systemd/system/onionbalance-signer.service.d/onionbalance-signer-passphrase.conf
systemctl daemon-reload
