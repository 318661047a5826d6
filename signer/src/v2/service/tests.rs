use std::path::Path;

use onionbalance_proto::fixture::v2::point;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::document::{Descriptor, DocumentError, open};
use onionbalance_proto::v2::layer::LayerError;
use onionbalance_proto::v2::{AuthType, Replica, TimePeriod};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::keys::{self, Secret};
use onionbalance_key_file::passphrase::Passphrases;

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/testdata/v2");

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

fn service(key: &str, cookies: Vec<Cookie>) -> Service {
    let file = std::fs::read(Path::new(TESTDATA).join(key)).unwrap();
    let opened = Passphrases::Terminal.open(&file, Path::new(key)).unwrap();
    let Ok(Secret::V2(secret)) = keys::secret(&opened) else { panic!("{key}") };
    let address = "jyvfq5umznvka34v".parse().unwrap();
    let backends = cookies
        .into_iter()
        .map(|cookie| InstanceV2 { auth: Some(cookie), ..InstanceV2::new(address) })
        .collect();
    Service::new(secret, backends)
}

fn cookie(number: u16) -> Cookie {
    let mut bytes = [7; 16];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    Cookie::new(bytes, AuthType::Basic)
}

fn approved(points: usize, client_authorization: bool) -> Approved {
    let mut rng = rng();
    let points = (0..points).map(|_| point(&mut rng)).collect();
    let published = UnixTime(1_795_338_000);
    let descriptor = Descriptor { period: TimePeriod(20_779), replica: Replica::First, published, points };
    Approved { descriptor, client_authorization }
}

fn open_as_client(
    service: &Service,
    text: &str,
    cookie: Option<&Cookie>,
) -> Result<Descriptor, DocumentError> {
    open(text, &service.address(), &[TimePeriod(20_779)], cookie)
}

/// The signature is a function of the text: with tor's key, tor's descriptor comes out byte for byte.
#[test]
fn signs_byte_for_byte_what_tor_signed() {
    let service = service("b2.key", vec![]);
    for file in ["b2-replica0.desc", "b2-replica1.desc"] {
        let by_tor = std::fs::read_to_string(Path::new(TESTDATA).join(file)).unwrap();
        let period = TimePeriod::at(UnixTime(1_795_334_036), &service.address());
        let descriptor = open(&by_tor, &service.address(), &[period], None).unwrap();
        let signed =
            service.render(&Approved { descriptor, client_authorization: false }, &mut rng()).unwrap();
        assert_eq!(signed.text, by_tor, "{file}");
    }
}

#[test]
fn what_is_signed_opens_for_clients() {
    let service = service("frontend1.key", vec![]);
    for points in 1..=10 {
        let approved = approved(points, false);
        let signed = service.render(&approved, &mut rng()).unwrap();
        assert_eq!(open_as_client(&service, &signed.text, None), Ok(approved.descriptor));
    }
}

#[test]
fn authorized_clients_of_any_backend_are_the_frontends() {
    let service = service("frontend1.key", vec![cookie(1), cookie(2), cookie(1)]);
    assert_eq!(distinct_cookies(service.backends()).len(), 2);
    let approved = approved(10, true);
    let signed = service.render(&approved, &mut rng()).unwrap();
    for client in [cookie(1), cookie(2)] {
        assert_eq!(open_as_client(&service, &signed.text, Some(&client)), Ok(approved.descriptor.clone()));
    }
    let stranger = open_as_client(&service, &signed.text, Some(&cookie(3)));
    assert_eq!(stranger, Err(LayerError::Cookie.into()));
    assert_eq!(open_as_client(&service, &signed.text, None), Err(LayerError::NoCookie.into()));
}

#[test]
fn a_descriptor_for_too_many_clients_is_refused() {
    let longest = |clients| {
        let service = service("frontend1.key", (0..clients).map(cookie).collect());
        service.render(&approved(10, true), &mut rng()).map(|signed| signed.text.len())
    };
    assert!(longest(400).is_ok_and(|length| length <= MAX_LENGTH));
    assert_eq!(longest(512), Err(Refusal::TooLong));
    assert_eq!(longest(513), Err(Refusal::TooLong));
}
