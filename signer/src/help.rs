//! The texts that the command line can ask for.

use onionbalance_proto::wire;

/// The help, of which the manual page is made, too.
pub const HELP: &str = "\
Holds the keys of onion services and signs their descriptors for the balancer.

Usage: onionbalance-signer -c CONFIG [--inherited] [--passphrase-file FILE | --passphrase-fd NUMBER]
       onionbalance-signer check [-c CONFIG] [--passphrase-file FILE | --passphrase-fd NUMBER]

`check` opens all keys of the configuration as the signer would, prints their addresses, and ends:
with 0, or with 78 if the configuration or a key has to be changed. Run it as the signer's user.

Keys are made and converted by onionbalance-key.

  -c, --config CONFIG  the configuration, the same file that onionbalance reads
                       [default: $ONIONBALANCE_CONFIG, else config.yaml]
      --inherited      serve the connected socket that is standard input, then end
                       (how onionbalance starts a signer of its own)
      --passphrase-file FILE
                       file with the passphrases of encrypted keys, one a line
      --passphrase-fd NUMBER
                       the same, read from this file descriptor; without either
                       the systemd credential named passphrase, where there is
                       one, else they are asked for on the terminal
  -h, --help           print this
  -V, --version        print the version
";

/// The version, with that of the protocol: both programs need the same.
pub fn version() -> String {
    let protocol = format!("protocol {}", wire::VERSION);
    format!("onionbalance-signer {}\n", onionbalance_process::version(Some(&protocol)))
}
