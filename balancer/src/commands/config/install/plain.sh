
# The signer opens the keys before anything is started.
runuser -u onionbalance-signer -- onionbalance-signer check -c "$ETC/config.yaml"
