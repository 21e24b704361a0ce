//! The watchdog device: a further net, below the guardian. It restarts the machine unless somebody shows
//! signs of life, and signs are shown only while the deadline lies ahead.

mod device;
mod rules;
mod tender;

pub use device::trouble;
pub use tender::{Tended, Tender};
