//! The commands besides balancing. Each looks at something, prints what it found, and ends.

pub mod status;
