//! Wiping the stack after computations with secrets.

use zeroize::Zeroize;

/// Bytes to wipe: more than any computation with one secret uses.
const DEPTH: usize = 16 * 1024;

/// Runs `compute`, and wipes the stack that it used.
pub fn wiped<T>(compute: impl FnOnce() -> T) -> T {
    let outcome = below(compute);
    wipe();
    outcome
}

/// Keeps the frames of `compute` below its own, where [`wipe`] finds them.
#[inline(never)]
fn below<T>(compute: impl FnOnce() -> T) -> T {
    compute()
}

#[inline(never)]
fn wipe() {
    let mut frame = [0_u8; DEPTH];
    frame.zeroize();
    std::hint::black_box(&mut frame);
}
