//! Who and which: names, incarnations, terms, revisions, system identifiers.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The name of a member, unique in its cluster. A name is not an identity: see [`Incarnation`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemberName(Arc<str>);

impl MemberName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of this member's physical replication slot on its upstream, by Patroni's rule.
    pub fn slot_name(&self) -> String {
        // Asked for all the time, and most names are small letters already.
        let is_small = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
        let small = if self.0.bytes().all(is_small) {
            Cow::Borrowed(&*self.0)
        } else {
            Cow::Owned(self.0.to_lowercase())
        };
        let mut slot = String::with_capacity(small.len());
        for letter in small.chars() {
            match letter {
                'a'..='z' | '0'..='9' | '_' => slot.push(letter),
                '-' | '.' => slot.push('_'),
                other => slot.push_str(&format!("u{:04}", u32::from(other))),
            }
        }
        slot.truncate(63);
        slot
    }
}

impl From<&str> for MemberName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for MemberName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for MemberName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One start of one agent: random, so that two agents of one name are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation(pub u64);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl std::str::FromStr for Incarnation {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(text, 16).map(Incarnation)
    }
}

/// The number of a leadership; rises with each new holder. The fencing token.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Term(pub u64);

impl Term {
    /// Before any leadership.
    pub const ZERO: Term = Term(0);

    /// The term after this one.
    pub const fn next(self) -> Term {
        Term(self.0 + 1)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A revision of the store, or of one key in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub i64);

impl Revision {
    /// The modification revision of a key that does not exist.
    pub const ABSENT: Revision = Revision(0);
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// PostgreSQL's identifier of a cluster's data, made by `initdb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SystemId(pub u64);

impl fmt::Display for SystemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_named_by_patronis_rule() {
        let long = "x".repeat(80);
        for (name, slot) in [
            ("pg-a.example", "pg_a_example"),
            ("PG_1", "pg_1"),
            ("a b", "au0032b"),
            (long.as_str(), &long[..63]),
        ] {
            assert_eq!(MemberName::from(name).slot_name(), slot);
        }
    }

    #[test]
    fn an_incarnation_survives_its_text() {
        let one = Incarnation(0x00ab_cdef_0123_4567);
        assert_eq!(one.to_string().parse::<Incarnation>().unwrap(), one);
    }
}
