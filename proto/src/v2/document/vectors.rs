//! Published test vectors: the descriptors of OnionBalance's own tests, and those of the public network of
//! 2014 and 2015 in stem's tests (`testdata/v2/public-*`).

use data_encoding::{BASE64, HEXLOWER};
use rsa::BigUint;
use sha1::{Digest, Sha1};

use super::*;
use crate::base32::lower_base32;
use crate::fixture::v2::Backend;
use crate::v2::DescriptorId;

/// OnionBalance's key K.
const KEY: &str = include_str!("../../../testdata/v2/onionbalance.key");
const COOKIE: &str = "dCmx3qIvArbil8A0KM4KgQ==";

fn sha1(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(&Sha1::digest(bytes))
}

/// A descriptor of the public network with its known contents.
struct Public {
    text: &'static str,
    address: &'static str,
    id: &'static str,
    secret_id_part: &'static str,
    published: &'static str,
    period: u32,
    replica: Replica,
    cookie: Option<&'static str>,
    /// The length in bytes and the SHA-1 digest of the decrypted introduction points.
    points: (usize, &'static str),
    /// The first introduction points: the beginning of the relay's identity in base32, and of its address and
    /// port.
    first: &'static [(&'static str, &'static str)],
}

const PUBLIC: [Public; 5] = [
    Public {
        text: include_str!("../../../testdata/v2/public-duckduckgo.desc"),
        address: "3g2upl4pq6kufc4m",
        id: "y3olqqblqw2gbh6phimfuiroechjjafa",
        secret_id_part: "e24kgecavwsznj7gpbktqsiwgvngsf4e",
        published: "2015-02-23 20:00:00",
        period: 16_490,
        replica: Replica::First,
        cookie: None,
        points: (1848, "dda34f7aba3bc89929b8dac8cd20a7429cd96dad"),
        first: &[
            ("iwki77", "178.62.222.129:443"),
            ("em4gjk", "46.4.174.52:443"),
            ("jqhfl3", "62.210.82.169:443"),
        ],
    },
    Public {
        text: include_str!("../../../testdata/v2/public-facebook.desc"),
        address: "fbcdn23dssr3jqnq",
        id: "utjk4arxqg6s6zzo7n6cjnq6ot34udhr",
        secret_id_part: "6355jaerje3bqozopwq2qmpf4iviizdn",
        published: "2014-10-31 23:00:00",
        period: 16_375,
        replica: Replica::First,
        cookie: None,
        points: (1849, "da951b0e5e4de6ea8f07c70eb40b3c532beb67de"),
        first: &[],
    },
    Public {
        text: include_str!("../../../testdata/v2/public-basic.desc"),
        address: "xpe5atmz5d26k26e",
        id: "yfmvdrkdbyquyqk5vygyeylgj2qmrvrd",
        secret_id_part: "fluw7z3s5cghuuirq3imh5jjj5ljips6",
        published: "2015-02-24 20:00:00",
        period: 16_491,
        replica: Replica::Second,
        cookie: Some(COOKIE),
        points: (1852, "2cd2e5efb8bd53fbaa9dcd2f130537c7e6a1e7b6"),
        first: &[("hmtvoobwglmmec26alnvl7x7mgmmr7xv", "195.154.82.88:443")],
    },
    Public {
        text: include_str!("../../../testdata/v2/public-stealth.desc"),
        address: "tosbmbgysyldansp",
        id: "ubf3xeibzlfil6s4larq6y5peup2z3oj",
        secret_id_part: "jczvydhzetbpdiylj3d5nsnjvaigs7xm",
        published: "2015-02-24 20:00:00",
        period: 16_491,
        replica: Replica::Second,
        cookie: Some(COOKIE),
        points: (1850, "237027be1abd4758abc41dfbd57bc306df39ddca"),
        first: &[("6h4bkedts3yz2exl3vu4lsyiwkjrx5ff", "")],
    },
    Public {
        text: include_str!("../../../testdata/v2/public-duckduckgo-tor.desc"),
        address: "3g2upl4pq6kufc4m",
        id: "g5ojobzupf275beh5ra72uyhb3dkpxwg",
        secret_id_part: "anmjoxxwiupreyajjt5yasimfmwcnxlf",
        published: "2015-03-11 19:00:00",
        period: 16_506,
        replica: Replica::First,
        cookie: None,
        points: (1852, "674a51e0eecb6dcb725646039b233610be12148f"),
        first: &[("7unwxrh6tnd4hzykugq3hfstwnsierhr", "188.138.121.118:9001")],
    },
];

/// The descriptor without the annotation line of the archive.
fn without_annotation(text: &str) -> &str {
    text.strip_prefix("@type hidden-service-descriptor 1.0\n").unwrap_or(text)
}

#[test]
fn opens_descriptors_of_the_public_network() {
    for known in PUBLIC {
        let text = without_annotation(known.text);
        let cookie: Option<Cookie> = known.cookie.map(|cookie| cookie.parse().unwrap());
        let outer = open_outer(text).unwrap();
        assert_eq!(outer.key.address().without_suffix(), known.address);
        assert_eq!(
            (outer.id.to_string(), outer.secret_id_part.to_string()),
            (known.id.into(), known.secret_id_part.into())
        );
        let message = outer.message.as_ref().unwrap();
        let points = layer::decrypt(message, cookie.as_ref()).unwrap();
        assert_eq!((points.len(), sha1(&points).as_str()), known.points, "{}", known.address);
        let descriptor =
            open(text, &outer.key.address(), &[TimePeriod(known.period)], cookie.as_ref()).unwrap();
        assert_eq!(descriptor.published.to_string(), known.published);
        assert_eq!(descriptor.replica, known.replica);
        for (point, (relay, place)) in descriptor.points.iter().zip(known.first) {
            assert!(lower_base32().encode(&point.relay.0).starts_with(relay));
            assert!(format!("{}:{}", point.address, point.port).contains(place));
        }
    }
}

#[test]
fn encrypted_ones_are_built_as_known() {
    let [_, _, basic, stealth, _] =
        PUBLIC.map(|known| open_outer(without_annotation(known.text)).unwrap().message.unwrap());
    assert_eq!((basic.len(), &basic[..2]), (2190, &[1, 1][..]));
    assert_eq!(HEXLOWER.encode(&basic[322..338]), "0c35758e0a536f06a287bd7dff814469");
    assert_eq!(HEXLOWER.encode(&basic[2 + 13 * 20..][..4]), "dae95a00");
    assert_eq!((stealth.len(), stealth[0]), (1867, 2));
    assert_eq!(HEXLOWER.encode(&stealth[1..17]), "011d6e9b3ad38451ea5a9eca8641cce6");
    let stranger: Cookie = "aCmx3qIvArbil8A0KM4KgQ==".parse().unwrap();
    assert_eq!(layer::decrypt(&basic, Some(&stranger)), Err(LayerError::Cookie));
}

/// The signed digests of the descriptors without client authorization are known.
#[test]
fn digests_are_as_known() {
    for (index, digest) in [
        (0, "024e724a5fe189a930013b778101d47fc2cb550a"),
        (1, "533d95de24b0641938e94d53656d37ce6e440f26"),
        (4, "6122e71f5a677ddca1003d24b490949cdf70b704"),
    ] {
        let outer = open_outer(without_annotation(PUBLIC[index].text)).unwrap();
        assert_eq!(sha1(outer.signed_text), digest);
    }
}

#[test]
fn the_other_replica_has_the_id_that_is_known() {
    let service: OnionAddress = PUBLIC[4].address.parse().unwrap();
    let period = TimePeriod::at(UnixTime(1_426_100_400), &service);
    let id = DescriptorId::derive(&service, SecretIdPart::derive(period, Replica::Second, None));
    assert_eq!((period.0, id.to_string().as_str()), (PUBLIC[4].period, "rciwtgqbrluqbldwgxmqhc3cyvil5eym"));
}

/// The descriptor that OnionBalance's tests make of the stealth descriptor's message with key K, and its
/// digest. OnionBalance's form lacks the last line end.
fn by_onionbalance(period: TimePeriod, replica: Replica) -> (String, String) {
    let key = Backend::from_pem(KEY);
    let message = open_outer(without_annotation(PUBLIC[3].text)).unwrap().message.unwrap();
    let published = publication_time(UnixTime(1_435_233_021));
    let secret_id_part = SecretIdPart::derive(period, replica, None);
    let unsigned = Unsigned::new(key.permanent_key(), secret_id_part, published, &message);
    let digest = HEXLOWER.encode(&unsigned.digest());
    (key.sign(unsigned).trim_end().to_owned(), digest)
}

#[test]
fn renders_onionbalances_descriptor_byte_for_byte() {
    let (text, digest) = by_onionbalance(TimePeriod(16_611), Replica::First);
    assert!(text.contains("\npublication-time 2015-06-25 11:00:00\n"));
    assert_eq!(digest, "00d9d13b55caabf9afc05f91301096814c0ee58e");
    assert!(text.contains("\nVX4GC6s6zmY84mKsh+YdAqyZqDevJwGY"));
    assert_eq!((text.len(), sha1(&text).as_str()), (3276, "df4f4a7a15492205f073c32cbcfc4eb9511e4ad8"));
}

/// OnionBalance's tests give the deviation in periods instead of seconds: 86 400 periods later.
#[test]
fn renders_onionbalances_descriptor_of_a_far_period() {
    let (text, _) = by_onionbalance(TimePeriod(103_011), Replica::Second);
    assert!(text.starts_with("rendezvous-service-descriptor wvwzprz2ixgpjin4o26gij5yy3nowclm\n"));
    assert_eq!(sha1(&text), "d828140cdccb1165dbc5a4b39622fcb45e6438fb");
}

#[test]
fn signs_the_bare_digest_in_pkcs1s_first_form() {
    let key = Backend::from_pem(KEY);
    let digest = HEXLOWER.decode(b"f42687f4c3c017ce1e14eceb2ff153ff2d0a9e96").unwrap();
    let signature = key.signature(&digest.clone().try_into().unwrap());
    let modulus = &key.permanent_key().der()[7..135];
    let padded = BigUint::from_bytes_be(&signature)
        .modpow(&BigUint::from(65_537_u32), &BigUint::from_bytes_be(modulus));
    let expected = [&[1][..], &[0xFF; 105], &[0], &digest].concat();
    // 128 bytes, of which the first is 0.
    assert_eq!(padded.to_bytes_be(), expected);
}

#[test]
fn signature_and_key_are_written_as_known() {
    let key = Backend::from_pem(KEY);
    let digest = HEXLOWER.decode(b"2a447f044d2f8d8127e8133b2d545450bc58760e").unwrap();
    let signature = key.signature(&digest.try_into().unwrap());
    let mut object = String::new();
    crate::netdoc::push_object(&mut object, "SIGNATURE", &signature);
    assert!(object.contains("\nYYCRshFA6mSO/1mRkePy5NiRJzsaEmyA+jGmftVcCQxgptvjbOV4926TH37U5WAI\n"));
    assert_eq!(sha1(&object), "27bee071a7e0f0af26a1c176f0c0af00854c05c1");
    assert_eq!(sha1(key.permanent_key().der()), "4e2a58768ccb6aa06f95e11646e187879d07fb66");
    let mut object = String::new();
    crate::netdoc::push_object(&mut object, RSA_PUBLIC_KEY, key.permanent_key().der());
    assert_eq!(sha1(&object), "2cf75da5e1a198ca7cb3db7b0baa6708feaf26e8");
    assert_eq!(BASE64.encode(key.permanent_key().der()).len(), 188);
}

#[test]
fn hours_and_base32_are_as_known() {
    let moment: UnixTime = "2015-06-25 13:13:25".parse().unwrap();
    assert_eq!(publication_time(moment).to_string(), "2015-06-25 13:00:00");
    assert_eq!(lower_base32().encode(b"byte input"), "mj4xizjanfxha5lu");
    let place: DescriptorId = "eiqaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
    assert!(HEXLOWER.encode(place.as_bytes()).starts_with("222000"));
}
