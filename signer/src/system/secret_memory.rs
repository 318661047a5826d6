//! Memory that only this process can read; not even the kernel can: `memfd_secret(2)`. It is in no core file,
//! is never swapped, and cannot be read through `/proc/PID/mem`, not even by root.
//!
//! Secrets of twice 32 bytes are in slots, which are wiped when they are given back. Pages are never given
//! back to the kernel.

#![expect(unsafe_code, reason = "the kernel's secret memory has no safe interface")]

use std::io;
use std::mem::ManuallyDrop;
use std::num::NonZeroUsize;
use std::os::fd::{FromRawFd, OwnedFd};
use std::slice;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mlock, mmap, mmap_anonymous};
use nix::unistd::ftruncate;
use zeroize::Zeroize;

/// A secret: an expanded ed25519 key, which is a scalar and a prefix for nonces, or two keys.
pub type Halves = [[u8; 32]; 2];
/// The number of slots in the memory that is taken from the kernel at a time.
const SLOTS: usize = 256;
/// The bytes of that memory: whole pages of the kernel's largest usual size.
const CHUNK: NonZeroUsize = NonZeroUsize::new(SLOTS * size_of::<Halves>()).unwrap();

/// The kind of memory in which secrets are kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// `memfd_secret`: readable for this process only.
    Secret,
    /// Never swapped and in no core file, but readable for root.
    Locked,
}

/// Makes room for `secrets` more secrets, in the best kind of memory that there is. Locked memory is second
/// best, and is taken only if `allow_locked`. All memory is of the kind that was taken first.
///
/// # Errors
/// The kernel has no secret memory, or gives this process no more of either kind.
pub fn reserve(secrets: usize, allow_locked: bool) -> io::Result<Kind> {
    let mut pool = pool();
    let free = pool.free.len().saturating_add(secrets);
    pool.reserve(free, allow_locked)
}

/// Twice 32 secret bytes in a slot.
pub struct SecretBytes(ManuallyDrop<&'static mut Halves>);

impl SecretBytes {
    /// Copies the halves straight into a slot. The caller wipes the originals.
    ///
    /// If no slot is left, the process ends: the secret would have to be kept elsewhere. [`reserve`] has made
    /// room for as many as the services can need.
    pub fn new(first: &[u8; 32], second: &[u8; 32]) -> Self {
        let mut pool = pool();
        if pool.free.is_empty() && pool.reserve(1, false).is_err() {
            std::process::abort();
        }
        let Some(slot) = pool.free.pop() else { std::process::abort() };
        slot[0].copy_from_slice(first);
        slot[1].copy_from_slice(second);
        Self(ManuallyDrop::new(slot))
    }

    /// The halves. A caller that copies them wipes the copy.
    pub fn expose(&self) -> &Halves {
        &self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        // SAFETY: nothing uses the secret after it was dropped.
        let slot = unsafe { ManuallyDrop::take(&mut self.0) };
        slot.zeroize();
        pool().free.push(slot);
    }
}

struct Pool {
    kind: Option<Kind>,
    /// The free slots.
    free: Vec<&'static mut Halves>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { kind: None, free: Vec::new() });

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// Takes memory until `secrets` slots are free.
    fn reserve(&mut self, secrets: usize, allow_locked: bool) -> io::Result<Kind> {
        loop {
            match self.kind {
                Some(kind) if self.free.len() >= secrets => return Ok(kind),
                Some(kind) => self.grow(kind).map_err(exhausted)?,
                None => match self.grow(Kind::Secret) {
                    Ok(()) => {}
                    Err(errno) if !allow_locked => return Err(no_secret_memory(errno)),
                    Err(_) => self.kind = Some(Kind::Locked),
                },
            }
        }
    }

    /// Takes memory for [`SLOTS`] more secrets from the kernel.
    fn grow(&mut self, kind: Kind) -> nix::Result<()> {
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        let memory = match kind {
            Kind::Secret => {
                let descriptor = memfd_secret()?;
                ftruncate(&descriptor, CHUNK.get().try_into().map_err(|_| Errno::EFBIG)?)?;
                // SAFETY: a new mapping at a place of the kernel's choice; it stays when the descriptor is
                // closed.
                unsafe { mmap(None, CHUNK, protection, MapFlags::MAP_SHARED, &descriptor, 0)? }
            }
            // SAFETY: a new mapping at a place of the kernel's choice, which is locked and advised as a
            // whole.
            Kind::Locked => unsafe {
                let memory = mmap_anonymous(None, CHUNK, protection, MapFlags::MAP_PRIVATE)?;
                mlock(memory, CHUNK.get())?;
                madvise(memory, CHUNK.get(), MmapAdvise::MADV_DONTDUMP)?;
                memory
            },
        };
        self.kind = Some(kind);
        // SAFETY: the memory has this many slots of zeros, is mapped for good, and nothing else refers to it.
        let slots: &'static mut [Halves] =
            unsafe { slice::from_raw_parts_mut(memory.cast().as_ptr(), SLOTS) };
        self.free.extend(slots);
        Ok(())
    }
}

fn no_secret_memory(errno: Errno) -> io::Error {
    io::Error::other(format!(
        "the kernel has no secret memory for keys (memfd_secret: {errno}): boot it with the option secretmem.enable=1, or set \
         `signer-allow-locked-memory: true` in the configuration (locked memory is not swapped, but root can read the keys in it)"
    ))
}

fn exhausted(errno: Errno) -> io::Error {
    io::Error::other(format!(
        "no more memory can be locked for keys ({errno}): raise LimitMEMLOCK in the unit (ulimit -l), 2 MiB for each thousand \
         services"
    ))
}

fn memfd_secret() -> nix::Result<OwnedFd> {
    // SAFETY: the system call takes flags and gives a new file descriptor, which nobody else owns.
    unsafe {
        let number = Errno::result(libc::syscall(libc::SYS_memfd_secret, libc::O_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(number.try_into().map_err(|_| Errno::EBADF)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(number: u16, half: u8) -> [u8; 32] {
        [number.to_be_bytes()[1] ^ half; 32]
    }

    #[test]
    fn each_secret_has_a_slot_of_its_own() {
        let secrets: Vec<SecretBytes> =
            (0..600_u16).map(|number| SecretBytes::new(&secret(number, 0), &secret(number, 1))).collect();
        for (number, held) in (0..600_u16).zip(&secrets) {
            assert_eq!(held.expose(), &[secret(number, 0), secret(number, 1)]);
        }
    }

    #[test]
    fn locked_memory_serves_as_well() {
        let mut pool = Pool { kind: Some(Kind::Locked), free: Vec::new() };
        assert_eq!(pool.reserve(SLOTS + 1, true).unwrap(), Kind::Locked);
        assert_eq!(pool.free.len(), 2 * SLOTS);
    }
}
