//! A signer with one service of each version, and an honest balancer's requests to it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use onionbalance_key_file::passphrase::Passphrases;
use onionbalance_proto::config::{InstanceV2, InstanceV3, Instances};
use onionbalance_proto::fixture;
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::document::Readers;
use onionbalance_proto::wire::{Header, Reply, Request, frame};
use onionbalance_signer::keys::{self, Secret};
use onionbalance_signer::limit::RateLimit;
use onionbalance_signer::serve::Services;
use onionbalance_signer::service::Service;
use onionbalance_signer::v2::secret::PermanentSecret;
use onionbalance_signer::v3::authority::Authority;

use crate::{rng, v2, v3};

const V2_KEY: &[u8] = include_bytes!("../../proto/testdata/v2/frontend1.key");

/// The most honest frames in one input: each takes milliseconds.
const MAX_HONEST: usize = 4;

/// Services without a limit of requests.
pub fn services() -> Services {
    let backend = InstanceV2::new(v2::BACKEND.address());
    let v2 = service("v2.key", Secret::V2(v2_secret()), &Instances::V2(vec![backend]));
    let backend = InstanceV3::new(v3::PUBLISHED.address);
    let v3 =
        service("v3.key", Secret::V3(Authority::Identity(v3::frontend())), &Instances::V3(vec![backend]));
    Services::new(vec![v2, v3])
}

fn service(key: &str, secret: Secret, instances: &Instances) -> Service {
    let mut service = Service::new(key.to_owned(), secret, RateLimit::new(u32::MAX, Instant::now()));
    service.allow(instances);
    service
}

/// The frames that replace placeholders in an input.
pub struct Script([(&'static [u8], Vec<u8>); 3]);

impl Script {
    /// Makes the frames for the present moment.
    #[expect(clippy::new_without_default, reason = "it reads the clock")]
    pub fn new() -> Self {
        let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
        let frame = |request: Request| frame::encode(&request).expect("a short one");
        Self([
            (b"<?>", frame(Request::Services { from: 0 })),
            (b"<v2>", frame(v2_request(now))),
            (b"<v3>", frame(v3_request(now))),
        ])
    }

    /// The input with its placeholders replaced by honest frames.
    pub fn spell_out(&self, mut input: &[u8]) -> Vec<u8> {
        let mut sent = Vec::new();
        let mut honest = 0;
        while let Some((byte, rest)) = input.split_first() {
            let named = self.0.iter().find(|(name, _)| honest < MAX_HONEST && input.starts_with(name));
            if let Some((name, frame)) = named {
                honest += 1;
                sent.extend_from_slice(frame);
                input = input.get(name.len()..).unwrap_or_default();
            } else {
                sent.push(*byte);
                input = rest;
            }
        }
        sent
    }
}

fn v2_secret() -> PermanentSecret {
    let key = Passphrases::Terminal.open(V2_KEY, "v2.key".as_ref()).expect("a key");
    let Ok(Secret::V2(secret)) = keys::secret(&key) else { panic!("of version 2") };
    secret
}

fn v3_request(now: UnixTime) -> Request {
    Request::FrontendV3(v3::request(&v3::frontend().address(), &v3::published(now)))
}

fn v2_request(now: UnixTime) -> Request {
    let descriptor = v2::BACKEND.publish(now, 2, &mut rng(4));
    let text = v2::BACKEND.text(&descriptor, Readers::Everyone, &mut rng(5));
    Request::FrontendV2(fixture::v2::request(&v2_secret().address(), now, vec![text], 2))
}

/// The replies in the received bytes, which contain nothing else.
pub fn replies(mut received: &[u8]) -> Vec<Reply> {
    let mut replies = Vec::new();
    while let Some((header, rest)) = received.split_first_chunk::<{ Header::LENGTH }>() {
        let length = Header::decode::<Reply>(*header).expect("a reply's header").body_length();
        let (body, rest) = rest.split_at_checked(length).expect("a whole reply");
        replies.push(frame::decode(body).expect("a reply"));
        received = rest;
    }
    assert!(received.is_empty());
    replies
}
