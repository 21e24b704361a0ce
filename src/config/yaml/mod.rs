//! YAML 1.1 as Patroni's reader understands it, kept as a tree that knows the line of every key.
//!
//! The events come from a YAML 1.2 parser; what a plain scalar means is decided here. Dates stay
//! text: no setting is one.

mod compose;
mod scalar;
mod tree;

pub(super) use compose::parse;
pub(super) use tree::{Content, Entry, Node, Place};
