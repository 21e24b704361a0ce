//! A place in the write-ahead log.

use std::fmt;
use std::str::FromStr;

/// A byte position in the write-ahead log, of whichever timeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// No position: PostgreSQL's invalid LSN.
    pub const ZERO: Lsn = Lsn(0);

    /// The position, or `None` for PostgreSQL's invalid one.
    pub fn known(self) -> Option<Lsn> {
        (self.0 != 0).then_some(self)
    }

    /// How many bytes `self` lies behind `other`; zero when it does not.
    pub fn bytes_behind(self, other: Lsn) -> u64 {
        other.0.saturating_sub(self.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// A text that is not a position, such as `0/16B3748`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a WAL position such as 0/16B3748")]
pub struct InvalidLsn(pub String);

impl FromStr for Lsn {
    type Err = InvalidLsn;

    fn from_str(text: &str) -> Result<Self, InvalidLsn> {
        let invalid = || InvalidLsn(text.to_owned());
        let (high, low) = text.split_once('/').ok_or_else(invalid)?;
        let half = |digits: &str| u32::from_str_radix(digits, 16).map_err(|_| invalid());
        Ok(Lsn(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_and_writes_what_postgresql_does() {
        for text in ["0/0", "0/16B3748", "2/5E0001A8", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Lsn>().unwrap().to_string(), text);
        }
        for text in ["", "0", "0/", "/0", "0/G", "1/1FFFFFFFF"] {
            assert!(text.parse::<Lsn>().is_err(), "{text:?}");
        }
    }
}
