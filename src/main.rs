//! The thin end of the binary.

fn main() {}
