//! A search for a frontend's secrets in a process's memory, as root reads it, and in its log, where they must
//! not be.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};

use anyhow::{Context, Result, ensure};
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use data_encoding::{BASE32_NOPAD, BASE64, BASE64_NOPAD, Encoding, HEXLOWER, HEXUPPER};
use ed25519_dalek::SigningKey;
use ed25519_dalek::hazmat::ExpandedSecretKey;
use memchr::memmem;
use nix::unistd::Pid;
use onionbalance_proto::v3::blinding::blinding_factor;
use onionbalance_proto::v3::{OnionAddress, TimePeriod};
use onionbalance_tests::programs::Running;
use sha2::{Digest, Sha512};

/// Secrets of 32 bytes. Each is enough to impersonate the frontend; those of a blinded key for one period.
pub(crate) struct Secrets(Vec<(String, [u8; 32])>);

impl Secrets {
    /// The secrets of the identity, and of the blinded keys of this period and its neighbours.
    pub(crate) fn of(key: &SigningKey, address: &OnionAddress, period: TimePeriod) -> Self {
        let identity = ExpandedSecretKey::from(key.as_bytes());
        let mut hashed = [0; 32];
        hashed.iter_mut().zip(Sha512::digest(key.as_bytes())).for_each(|(to, from)| *to = from);
        let mut secrets = vec![
            ("seed".to_owned(), key.to_bytes()),
            ("scalar as tor keeps it".to_owned(), clamp_integer(hashed)),
            ("scalar".to_owned(), identity.scalar.to_bytes()),
            ("prefix for nonces".to_owned(), identity.hash_prefix),
        ];
        for period in [period.previous(), period, period.next()] {
            let blinded: Scalar = blinding_factor(address, period) * identity.scalar;
            secrets.push((format!("blinded scalar of {period:?}"), blinded.to_bytes()));
        }
        Self(secrets)
    }

    /// Fails if a secret is in the memory or the log of a program.
    pub(crate) fn expect_hidden(&self, program: &Running) -> Result<()> {
        let (readable, found) = self.in_memory(program.pid())?;
        ensure!(readable > 1 << 20, "only {readable} bytes could be read");
        ensure!(found.is_empty(), "{found:?} in the memory of {}", program.pid());
        let log = program.output()?;
        ensure!(!log.is_empty(), "no log");
        let forms: [&Encoding; 5] = [&HEXLOWER, &HEXUPPER, &BASE64, &BASE64_NOPAD, &BASE32_NOPAD];
        for (name, secret) in &self.0 {
            let shown = forms.iter().find(|form| log.contains(&form.encode(secret)));
            ensure!(shown.is_none() && memmem::find(log.as_bytes(), secret).is_none(), "{name} in {log}");
        }
        Ok(())
    }

    /// The length of the memory of a process that root can read, in bytes, and the secrets in it.
    pub(crate) fn in_memory(&self, process: Pid) -> Result<(usize, Vec<&str>)> {
        let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
        let mut memory = File::open(format!("/proc/{process}/mem"))?;
        let (mut readable, mut found) = (0, Vec::new());
        for line in maps.lines().filter(|line| !line.contains("[vvar") && !line.contains("[vsyscall")) {
            let (begin, end) =
                line.split_once(' ').and_then(|(range, _)| range.split_once('-')).context("a range")?;
            let (begin, end) = (u64::from_str_radix(begin, 16)?, u64::from_str_radix(end, 16)?);
            let mut bytes = Vec::new();
            memory.seek(SeekFrom::Start(begin))?;
            // Secret memory and guard pages cannot be read, and are skipped.
            let _ = (&mut memory).take(end - begin).read_to_end(&mut bytes);
            readable += bytes.len();
            let held = self.0.iter().filter(|(_, secret)| memmem::find(&bytes, secret).is_some());
            found.extend(held.map(|(name, _)| name.as_str()));
        }
        Ok((readable, found))
    }
}
