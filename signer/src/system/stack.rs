//! What computations with secrets leave on the stack.

use zeroize::Zeroize;

/// More than any computation with one secret takes.
const DEPTH: usize = 16 * 1024;

/// What `compute` returns; the stack that it used is wiped then.
pub fn wiped<T>(compute: impl FnOnce() -> T) -> T {
    let outcome = below(compute);
    wipe();
    outcome
}

/// Keeps what it calls in frames of its own, where [`wipe`] finds it.
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
