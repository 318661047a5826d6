//! Consensuses and microdescriptors of made-up networks, in the forms and sizes of the public network.
//!
//! They are complete enough for tor-netdoc, which reads them in the oracle test; the bench reads them too.

use std::fmt::Write;

use data_encoding::{BASE64, BASE64_NOPAD};
use rand::Rng;
use sha2::{Digest, Sha256};

/// The properties of a network.
pub(crate) struct Shape {
    /// The number of relays.
    pub(crate) relays: usize,
    /// The share of HSDirs among them in percent.
    pub(crate) hsdirs_percent: u32,
    /// The times valid-after, fresh-until and valid-until as `YYYY-MM-DD HH:MM:SS`.
    pub(crate) times: [String; 3],
    /// The arguments of the `params` line.
    pub(crate) params: String,
    /// The current and the previous shared random value.
    pub(crate) shared_random: [Option<[u8; 32]>; 2],
}

/// The network's documents as tor's control port returns them.
pub(crate) struct Texts {
    /// The answer to `GETINFO dir/status-vote/current/consensus-microdesc`.
    pub(crate) consensus: String,
    /// The answer to `GETINFO md/all`.
    pub(crate) microdescriptors: String,
}

const HEAD: &str = "\
known-flags Authority BadExit Exit Fast Guard HSDir MiddleOnly NoEdConsensus Running Stable StaleDesc Sybil V2Dir Valid
recommended-client-protocols Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4 HSRend=2 Link=4-5 Microdesc=2 Relay=2-4
recommended-relay-protocols Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=2 Link=4-5 LinkAuth=3 Microdesc=2 Relay=2-4
required-client-protocols Cons=2 Desc=2 FlowCtrl=1 Link=4 Microdesc=2 Relay=2
required-relay-protocols Cons=2 Desc=2 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=2 Link=4-5 LinkAuth=3 Microdesc=2 Relay=2-4
";

const PROTOCOLS: &str = "Conflux=1 Cons=1-2 Desc=1-4 DirCache=2 FlowCtrl=1-2 HSDir=2 HSIntro=4-5 HSRend=1-2 \
                         Link=3-5 LinkAuth=3 Microdesc=1-3 Padding=2 Relay=2-6";

const FOOT: &str = "\
directory-footer
bandwidth-weights Wbd=0 Wbe=0 Wbg=4203 Wbm=10000 Wdb=10000 Web=10000 Wed=10000 Wee=10000 Weg=10000 Wem=10000 Wgb=10000 Wgd=0 Wgg=5797 Wgm=5797 Wmb=10000 Wmd=0 Wme=0 Wmg=4203 Wmm=10000
directory-signature sha256 02CA48060258D3185B58A4EF54C887F938670739 07E1276D907DF3AA7505DE3C4956CA56B3DED755
-----BEGIN SIGNATURE-----
k3K517upX5GPJbR/2p2dzaHdl09X/E//Sk4rRfG0VJ1ZoRj51TflnIpddgskCc64
-----END SIGNATURE-----
";

/// A random network of this shape.
pub(crate) fn texts(shape: &Shape, rng: &mut impl Rng) -> Texts {
    let mut identities: Vec<[u8; 20]> = (0..shape.relays).map(|_| rng.r#gen()).collect();
    identities.sort_unstable();
    let mut consensus = preamble(shape);
    let mut microdescriptors = String::new();
    for (number, identity) in identities.iter().enumerate() {
        let microdescriptor = microdescriptor(rng);
        let hsdir = if rng.gen_range(0..100) < shape.hsdirs_percent { " HSDir" } else { "" };
        writeln!(
            consensus,
            "r relay{number} {} 2038-01-01 00:00:00 10.{}.{}.{} 9001 0\n\
             m {}\n\
             s Exit Fast Guard{hsdir} Running Stable V2Dir Valid\n\
             v Tor 0.4.9.11\n\
             pr {PROTOCOLS}\n\
             w Bandwidth={}",
            BASE64_NOPAD.encode(identity),
            number >> 16,
            number >> 8 & 0xFF,
            number & 0xFF,
            BASE64_NOPAD.encode(&Sha256::digest(&microdescriptor)),
            rng.gen_range(1..100_000),
        )
        .unwrap();
        microdescriptors.push_str(&microdescriptor);
    }
    consensus.push_str(FOOT);
    // The control protocol's line ends carry the last newline; tor's text does not have it.
    consensus.pop();
    microdescriptors.pop();
    Texts { consensus, microdescriptors }
}

fn preamble(shape: &Shape) -> String {
    let [valid_after, fresh_until, valid_until] = &shape.times;
    let mut text = format!(
        "network-status-version 3 microdesc\nvote-status consensus\nconsensus-method 35\n\
         valid-after {valid_after}\nfresh-until {fresh_until}\nvalid-until {valid_until}\n\
         voting-delay 300 300\nclient-versions \nserver-versions \n{HEAD}params {}\n",
        shape.params
    );
    for (name, value) in ["previous", "current"].into_iter().zip(shape.shared_random.iter().rev()) {
        if let Some(value) = value {
            writeln!(text, "shared-rand-{name}-value 9 {}", BASE64.encode(value)).unwrap();
        }
    }
    text.push_str(
        "dir-source auth 02CA48060258D3185B58A4EF54C887F938670739 127.0.0.1 127.0.0.1 50105 55501\n\
         contact someone\nvote-digest C63FE9621C10D199A20C75EC60F4C7C45F3AB298\n",
    );
    text
}

fn microdescriptor(rng: &mut impl Rng) -> String {
    // A 1024-bit RSA public key in PKCS#1: an odd modulus of full length, and 65537.
    let mut rsa = [0; 140];
    rng.fill(&mut rsa[..]);
    rsa[..7].copy_from_slice(&[0x30, 0x81, 0x89, 0x02, 0x81, 0x81, 0x00]);
    rsa[7] |= 0x80;
    rsa[134] |= 0x01;
    rsa[135..].copy_from_slice(&[0x02, 0x03, 0x01, 0x00, 0x01]);
    let mut text = String::from("onion-key\n-----BEGIN RSA PUBLIC KEY-----\n");
    for line in BASE64.encode(&rsa).as_bytes().chunks(64) {
        writeln!(text, "{}", String::from_utf8_lossy(line)).unwrap();
    }
    let ntor: [u8; 32] = rng.r#gen();
    let identity: [u8; 32] = rng.r#gen();
    writeln!(
        text,
        "-----END RSA PUBLIC KEY-----\nntor-onion-key {}\np accept 80,443\nid ed25519 {}",
        BASE64_NOPAD.encode(&ntor),
        BASE64_NOPAD.encode(&identity),
    )
    .unwrap();
    text
}
