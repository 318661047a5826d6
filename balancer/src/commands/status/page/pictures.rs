//! The small pictures in tables.

use maud::{Markup, html};

use crate::status::Descriptor;

/// The side of a square for an HSDir, and the distance to the next one, in units of the picture.
const SIDE: usize = 8;
const STEP: usize = 10;
/// The most HSDirs that have a square: a consensus may ask for more, which the number beside it tells.
const MOST: usize = 40;
/// The width of a whole share, in units of the picture.
const WHOLE: u16 = 60;

/// A square for each HSDir of a descriptor: full if it has stored it.
pub(super) fn hsdirs(descriptor: &Descriptor) -> Markup {
    let squares = descriptor.hsdirs.min(MOST);
    let width = squares * STEP;
    html! {
        svg role="img" width=(width) height=(SIDE) viewBox={ "0 0 " (width) " " (SIDE) } {
            title { (descriptor.stored) " of " (descriptor.hsdirs) " HSDirs have the descriptor" }
            @for number in 0..squares {
                @let class = if number < descriptor.stored { "fill-ok" } else { "fill-none" };
                rect class=(class) x=(number * STEP) y="0" width=(SIDE) height=(SIDE) {}
            }
        }
    }
}

/// A bar as long as the share, from 0 to 1.
pub(super) fn share(share: f64) -> Markup {
    let part = format!("{:.1}", share.clamp(0.0, 1.0) * f64::from(WHOLE));
    html! {
        svg role="img" width=(WHOLE) height=(SIDE) viewBox={ "0 0 " (WHOLE) " " (SIDE) } {
            title { "share of the introduction points" }
            rect class="fill-none" x="0" y="0" width=(WHOLE) height=(SIDE) {}
            rect class="fill-ok" x="0" y="0" width=(part) height=(SIDE) {}
        }
    }
}
