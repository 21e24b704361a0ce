//! The store does not answer.

use super::decision::{Decision, Reason};
use super::view::View;

/// Does nothing: silence is not vacancy.
pub fn hold_still(view: &View) -> Decision {
    let label = match view.cluster {
        Some(_) => "hold still: the store did not answer",
        None => "wait for the store: it has not answered yet",
    };
    Decision::wait(Reason::plain(label))
}
