//! Both versions of onion services in one balancer, each on a network and a tor of its own.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{EncodePrivateKey, KeypairBytes};
use onionbalance_proto::v3;
use onionbalance_tests::deployment::Deployment;
use onionbalance_tests::key_v2::KeyV2;
use onionbalance_tests::network::{Network, Plan};

use super::site::{PUBLISHED, backends, network, wait_published};

const SOON: Duration = Duration::from_secs(20);
/// The v3 frontend, which its backend has to know from its start.
const SEED: [u8; 32] = [0xD3; 32];

#[test]
fn v2_and_v3_services_run_side_by_side() -> Result<()> {
    let v2_network = network()?;
    let signing_key = SigningKey::from_bytes(&SEED);
    let v3_frontend = v3::OnionAddress::from_identity(signing_key.verifying_key().to_bytes())?;
    let v3_network = Network::start(&Plan { backends: 1, frontends: vec![v3_frontend], ..Plan::default() })?;
    let (v2_backends, v3_backend) = (backends(v2_network)?, v3_network.backend(0)?);
    let v2_key = KeyV2::generate()?;

    let site = Deployment::new(v2_network, "two_tors")?;
    site.write_secret("v2.key", v2_key.pem()?)?;
    let v3_key = KeypairBytes { secret_key: SEED, public_key: None }.to_pkcs8_pem(LineEnding::LF)?;
    site.write_secret("v3.key", &*v3_key)?;
    let v2_tor = v2_network.new_tor_client()?;
    let v2_only = format!("services:\n- key: v2.key\n  instances:\n{}", instances(&v2_backends)?);
    let both = format!(
        "{v2_only}  tor: {}\n- key: v3.key\n  instances:\n{}",
        v2_tor.tor().control_address()?,
        instances(std::slice::from_ref(&v3_backend))?
    );

    // A tor without v2 would never answer: the balancer reports it at once.
    site.configure(v2_only)?;
    let refused = site.balancer(v3_network.management().tor())?;
    assert_eq!(refused.wait_exit(SOON)?.code(), Some(1));
    let log = refused.output()?;
    assert!(log.contains(" ERROR this tor is ") && log.contains("no v2 onion services any more"), "{log}");

    site.configure(both)?;
    let balancer = site.balancer(v3_network.management().tor())?;
    wait_published(&balancer, &v2_key.address(), 2)?;
    balancer.wait_output("not that it published both v3 descriptors", PUBLISHED, |output| {
        let lines = output.lines().filter(|line| line.contains(" published descriptor "));
        (lines.filter(|line| line.contains(&v3_frontend.to_string())).count() >= 2).then_some(())
    })?;
    let page = v3_network.client().get(&v3_frontend, 80, "/")?;
    assert_eq!(page.text(), v3_backend.name());
    let page = v2_network.new_tor_client()?.get(&v2_key.address(), 80, "/")?;
    assert!(page.text().starts_with("backend-"));
    Ok(())
}

fn instances(backends: &[impl AsRef<onionbalance_tests::network::Backend>]) -> Result<String> {
    let mut yaml = String::new();
    for backend in backends {
        writeln!(yaml, "  - address: {}", backend.as_ref().address())?;
    }
    Ok(yaml)
}
