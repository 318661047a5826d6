//! The form of a command (control-spec, "Commands from controller to Tor").
//!
//! Every argument of a command has a type that cannot hold a line end, or is encoded here: no argument can
//! contain a second command.

use std::time::Duration;

use data_encoding::HEXUPPER;
use onionbalance_proto::relay::Fingerprint;
use onionbalance_proto::v3;

use super::data;
use super::lookup::Lookup;

/// The longest wait for a reply. Tor answers from memory, within milliseconds. Some faulty commands it never
/// answers (HSPOST without HSADDRESS if tor has no version 2).
const REPLY_WITHIN: Duration = Duration::from_secs(10);

/// The longest wait for a reply of megabytes from a busy machine.
const LARGE_REPLY_WITHIN: Duration = Duration::from_secs(60);

/// A command to be sent. It has no `Debug`, because it may hold a password.
pub(super) struct Command {
    /// The command's first word, for messages.
    pub(super) name: &'static str,
    /// The longest wait for the reply.
    pub(super) reply_within: Duration,
    line: Vec<u8>,
    block: Option<Vec<u8>>,
}

impl Command {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, reply_within: REPLY_WITHIN, line: name.into(), block: None }
    }

    /// Gives tor the time that a reply of several megabytes may take.
    pub(super) fn with_large_reply(self) -> Self {
        Self { reply_within: LARGE_REPLY_WITHIN, ..self }
    }

    /// Adds fixed words.
    pub(super) fn words(self, words: &'static str) -> Self {
        self.argument("", words)
    }

    /// Adds bytes as hexadecimal digits.
    pub(super) fn hex(self, bytes: &[u8]) -> Self {
        self.argument("", &HEXUPPER.encode(bytes))
    }

    /// Adds the name of the descriptor to fetch. Addresses have no `.onion`: with it tor refuses the command.
    pub(super) fn lookup(self, lookup: &Lookup) -> Self {
        match lookup {
            Lookup::V3(address) => self.argument("", &address.without_suffix()),
            Lookup::V2(address) => self.argument("", &address.without_suffix()),
            Lookup::V2Id(id) => self.argument("v2-", &id.to_string()),
        }
    }

    /// Adds `HSADDRESS=ADDRESS`, without `.onion`.
    pub(super) fn hs_address(self, address: &v3::OnionAddress) -> Self {
        self.argument("HSADDRESS=", &address.without_suffix())
    }

    /// Adds `KEY="VALUE"` with escapes.
    pub(super) fn quoted(self, key: &'static str, value: &str) -> Self {
        // The escapes that tor reads (tor: `decode_escaped_string`). A line end would end the command.
        let value: String = value
            .chars()
            .filter(|character| !matches!(character, '\r' | '\n'))
            .flat_map(|character| {
                matches!(character, '"' | '\\').then_some('\\').into_iter().chain([character])
            })
            .collect();
        self.argument(key, &format!("=\"{value}\""))
    }

    /// Adds `SERVER=FINGERPRINT` for each HSDir.
    pub(super) fn servers(self, servers: &[Fingerprint]) -> Self {
        servers.iter().fold(self, |command, server| command.argument("SERVER=", &server.to_string()))
    }

    /// Adds a data block.
    pub(super) fn data(self, text: &str) -> Self {
        let mut block = Vec::with_capacity(text.len().saturating_add(text.len() / 32));
        data::encode(text, &mut block);
        Self { block: Some(block), ..self }
    }

    /// The bytes to be sent.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        let plus: &[u8] = if self.block.is_some() { b"+" } else { b"" };
        [plus, &self.line, b"\r\n", &self.block.unwrap_or_default()].concat()
    }

    fn argument(mut self, prefix: &str, argument: &str) -> Self {
        for part in [" ", prefix, argument] {
            self.line.extend_from_slice(part.as_bytes());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renders_a_line() {
        let command = Command::new("AUTHENTICATE").hex(b"line\r\nend");
        assert_eq!(command.into_bytes(), b"AUTHENTICATE 6C696E650D0A656E64\r\n");
        assert_eq!(Command::new("SIGNAL").words("ACTIVE").into_bytes(), b"SIGNAL ACTIVE\r\n");
    }

    #[test]
    fn no_value_ends_its_quotes_or_the_line() {
        let command = Command::new("SETCONF").quoted("HidServAuth", "a\" b\\\r\nQUIT");
        assert_eq!(command.into_bytes(), b"SETCONF HidServAuth=\"a\\\" b\\\\QUIT\"\r\n");
    }

    #[test]
    fn names_what_is_looked_up() {
        let line = |lookup| String::from_utf8(Command::new("HSFETCH").lookup(&lookup).into_bytes()).unwrap();
        let id = "kkj45bfm57jmgw5ryxr6zmszjje2tdey".parse().unwrap();
        assert_eq!(line(Lookup::V2Id(id)), "HSFETCH v2-kkj45bfm57jmgw5ryxr6zmszjje2tdey\r\n");
        let address = "lijeinqkg3odt3fl.onion".parse().unwrap();
        assert_eq!(line(Lookup::V2(address)), "HSFETCH lijeinqkg3odt3fl\r\n");
    }

    #[test]
    fn renders_a_block() {
        let address = "25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid.onion".parse().unwrap();
        let servers = [Fingerprint([0xAB; 20]), Fingerprint([0; 20])];
        let command = Command::new("HSPOST").servers(&servers).hs_address(&address).data("a\n.b\n");
        let expected = "+HSPOST SERVER=ABABABABABABABABABABABABABABABABABABABAB \
            SERVER=0000000000000000000000000000000000000000 \
            HSADDRESS=25njqamcweflpvkl73j4szahhihoc4xt3ktcgjnpaingr5yhkenl5sid\r\na\r\n..b\r\n.\r\n";
        assert_eq!(String::from_utf8(command.into_bytes()).unwrap(), expected);
    }
}
