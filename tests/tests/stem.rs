//! Stem reads the signer's descriptors. It is the library with which the original OnionBalance and other
//! programs read descriptors. `proto/src/v2/document/tests.rs` reads the original's descriptors.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use data_encoding::{BASE32_NOPAD, BASE64};
use onionbalance_proto::config::InstanceV2;
use onionbalance_proto::fixture::v2::{Backend, request};
use onionbalance_proto::time::UnixTime;
use onionbalance_proto::v2::document::points::IntroductionPoint;
use onionbalance_proto::v2::document::{Readers, open_outer};
use onionbalance_proto::v2::{AuthType, Cookie};
use onionbalance_signer::v2::judge::{self, KnownDescriptors};
use onionbalance_signer::v2::secret::PermanentSecret;
use onionbalance_signer::v2::service::Service;
use onionbalance_tests::process::run;
use onionbalance_tests::provision::stem_python;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rsa::RsaPrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey;
use serde_json::{Value, json};

const KEY: &str = include_str!("../../proto/testdata/v2/pem-plain.key");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stem/check.py");
const CASES: usize = 60;
const BACKENDS: u8 = 5;

#[test]
fn stem_reads_what_the_signer_signs() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let mut rng = StdRng::seed_from_u64(0x57E4);
    let backends: Vec<Backend> = (0..BACKENDS).map(|_| Backend::generate(&mut rng)).collect();
    let cases = (0..CASES).map(|number| {
        // Without clients, with one, and with more than a block of sixteen.
        let clients = [0, 0, 1, 2, BACKENDS].into_iter().nth(number % 5).unwrap_or_default();
        sign(directory.path(), number, clients, &backends, &mut rng)
    });
    let cases = cases.collect::<Result<Vec<Value>>>()?;
    fs::write(directory.path().join("cases.json"), serde_json::to_string(&cases)?)?;
    let said = run(stem_python()?.arg(SCRIPT).arg(directory.path()), &directory.path().join("stem.log"))?;
    assert_eq!(said.trim(), format!("{CASES} descriptors agree"));
    Ok(())
}

/// A signed descriptor in which this number of backends, the first ones, authorize clients, with the contents
/// that stem has to find.
fn sign(
    directory: &Path,
    number: usize,
    clients: u8,
    backends: &[Backend],
    rng: &mut StdRng,
) -> Result<Value> {
    let cookies: Vec<Cookie> = (0..clients).map(|_| Cookie::new(rng.r#gen(), AuthType::Basic)).collect();
    let now = UnixTime(rng.gen_range(1_500_000_000..2_500_000_000));
    let points_each = rng.gen_range(1..=2);
    let texts = backends.iter().enumerate().map(|(index, backend)| {
        let readers = cookies
            .get(index)
            .map_or(Readers::Everyone, |cookie| Readers::Basic(std::slice::from_ref(cookie)));
        backend.text(&backend.publish(now, points_each.into(), rng), readers, rng)
    });
    let texts = texts.collect();
    let allowed = backends.iter().enumerate().map(|(index, backend)| InstanceV2 {
        auth: cookies.get(index).cloned(),
        ..InstanceV2::new(backend.address())
    });
    let allowed = allowed.collect();
    let secret = PermanentSecret::new(RsaPrivateKey::from_pkcs1_pem(KEY)?)?;
    let service = Service::new(secret, allowed);
    let mut wanted = request(&service.address(), now, texts, points_each);
    wanted.replica = rng.gen_range(0..2);
    wanted.client_authorization = clients > 0;
    let kept = rng.gen_range(usize::from(BACKENDS)..=wanted.points.len());
    wanted.points.truncate(kept);
    let mut known = KnownDescriptors::default();
    let approved = judge::judge(&wanted, &service.address(), service.backends(), &mut known, now)?;
    let text = service.render(&approved, rng)?.text;

    let file = format!("{number}.desc");
    fs::write(directory.join(&file), &text)?;
    let outer = open_outer(&text).context("our own signature")?;
    Ok(json!({
        "file": file,
        "id": outer.id.to_string(),
        "secret_id_part": outer.secret_id_part.to_string(),
        "published": outer.published.to_string(),
        "key": BASE64.encode(outer.key.der()),
        "cookies": cookies.iter().map(|cookie| BASE64.encode(cookie.secret())).collect::<Vec<_>>(),
        "points": approved.descriptor.points.iter().map(point).collect::<Vec<_>>(),
    }))
}

fn point(point: &IntroductionPoint) -> Value {
    json!({
        "relay": BASE32_NOPAD.encode(&point.relay.0).to_lowercase(),
        "address": point.address.to_string(),
        "port": point.port.get(),
        "onion_key": BASE64.encode(&point.onion_key.to_der()),
        "service_key": BASE64.encode(&point.service_key.to_der()),
    })
}
