//! The load of a tor that is behind, in words.

use std::fmt;

use crate::age::Age;
use crate::engine::Load;

/// Displays the requests that wait for a tor, and the remedy.
pub struct Behind<'a>(pub &'a Load);

impl fmt::Display for Behind<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Load { posts_waiting, looks_waiting, read_backs_waiting, longest_wait, .. } = self.0;
        write!(
            f,
            "more to do than one tor can: {looks_waiting} fetches, {posts_waiting} uploads and {read_backs_waiting} \
             read-backs wait, the longest for {}; use more tors, or fewer services per tor",
            Age(*longest_wait)
        )
    }
}
