
# The signer opens the keys before anything is started.
(umask 077 && : > "$PASSPHRASE")
if [ $# -gt 0 ]; then
    cat "$1" > "$PASSPHRASE"
else
    systemd-ask-password -n "Passphrase of the key:" > "$PASSPHRASE"
fi
chown onionbalance-signer "$PASSPHRASE"
runuser -u onionbalance-signer -- onionbalance-signer check -c "$ETC/config.yaml" --passphrase-file "$PASSPHRASE"

# The passphrase becomes a credential: systemd on this machine alone can open it, and gives it to the signer alone.
(umask 077 && systemd-creds encrypt --name=passphrase "$PASSPHRASE" "$ETC/passphrase.cred")
rm "$PASSPHRASE"
install -d /etc/systemd/system/onionbalance-signer.service.d
printf '[Service]\nLoadCredentialEncrypted=passphrase:%s/passphrase.cred\n' "$ETC" \
    > /etc/systemd/system/onionbalance-signer.service.d/onionbalance-signer-passphrase.conf
systemctl daemon-reload
