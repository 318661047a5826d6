//! Where secrets live, and die: each type wipes itself when dropped and has no `Debug`, `Clone` or `Serialize`. Those of
//! version 3 lie in secret memory, and the stack is wiped after each use.

mod stack;
mod v2;
mod v3;

pub use v2::PermanentSecret;
pub use v3::{BlindedSecret, DescriptorSigningSecret, IdentitySecret};
