//! What happened in a world: a hash that must be the same for the same seed, and the story for people.

use std::cell::Cell;
use std::time::Duration;

/// Prints what agents log into the story.
pub fn tell_logs() {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(std::io::stdout)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
}

/// The record of one run.
pub struct Trace {
    hash: Cell<u64>,
    told: bool,
}

impl Trace {
    /// An empty record; `told` prints the story as it happens.
    pub fn new(told: bool) -> Self {
        Self { hash: Cell::new(0xcbf2_9ce4_8422_2325), told }
    }

    /// Something happened. The two numbers stand for the `{}` in the text, in order.
    pub fn note(&self, at: Duration, who: &str, what: &'static str, numbers: [u64; 2]) {
        self.mix(at.as_micros() as u64);
        self.bytes(who.as_bytes());
        self.bytes(what.as_bytes());
        self.mix(numbers[0]);
        self.mix(numbers[1]);
        if self.told {
            let mut text = what.to_owned();
            for number in numbers {
                text = text.replacen("{}", &number.to_string(), 1);
            }
            println!("{:9.3} {who:>6}  {text}", at.as_secs_f64());
        }
    }

    /// Takes in bytes that are not told.
    pub fn bytes(&self, bytes: &[u8]) {
        let hash = bytes.iter().fold(self.hash.get(), |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.hash.set(hash);
    }

    fn mix(&self, number: u64) {
        let mixed = (self.hash.get() ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.hash.set(mixed ^ (mixed >> 29));
    }

    /// Whether the story is told.
    pub fn is_told(&self) -> bool {
        self.told
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.hash.get()
    }
}
