//! How strongly a server is fenced, and what the configuration asks for.

use std::fmt;
use std::str::FromStr;

/// What makes sure that no process of a server outlives its deadline, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Strength {
    /// Nothing but the agent itself: no guardian started this server.
    None,
    /// The guardian finds all that descends from it, and kills that.
    Subreaper,
    /// The server is in a cgroup of its own, which the kernel kills as one.
    Cgroup,
    /// The server is in a PID namespace that ends with the guardian, whose own end the kernel has
    /// been told the time of.
    Namespace,
    /// The guardian is PID 1 of a container, which ends with it.
    Container,
}

impl Strength {
    /// All of them, strongest first.
    pub const ALL: [Strength; 5] = [
        Strength::Container,
        Strength::Namespace,
        Strength::Cgroup,
        Strength::Subreaper,
        Strength::None,
    ];

    /// Its name in files, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Strength::None => "none",
            Strength::Subreaper => "subreaper",
            Strength::Cgroup => "cgroup",
            Strength::Namespace => "namespace",
            Strength::Container => "container",
        }
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which fence is asked for: `pgbaton.fence`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FenceChoice {
    /// The strongest that works here.
    #[default]
    Auto,
    /// This one, or none at all.
    Named(Strength),
}

impl FenceChoice {
    /// The words of the configuration.
    pub const WORDS: [&'static str; 5] = ["auto", "container", "namespace", "cgroup", "subreaper"];

    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            FenceChoice::Auto => "auto",
            FenceChoice::Named(strength) => strength.as_str(),
        }
    }
}

/// The word is none of [`FenceChoice::WORDS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoSuchFence(pub String);

impl FromStr for FenceChoice {
    type Err = NoSuchFence;

    fn from_str(text: &str) -> Result<Self, NoSuchFence> {
        match text {
            "auto" => Ok(FenceChoice::Auto),
            "container" => Ok(FenceChoice::Named(Strength::Container)),
            "namespace" => Ok(FenceChoice::Named(Strength::Namespace)),
            "cgroup" => Ok(FenceChoice::Named(Strength::Cgroup)),
            "subreaper" => Ok(FenceChoice::Named(Strength::Subreaper)),
            other => Err(NoSuchFence(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_and_spelled_the_same() {
        for word in FenceChoice::WORDS {
            assert_eq!(word.parse::<FenceChoice>().unwrap().as_str(), word);
        }
        assert_eq!("none".parse::<FenceChoice>(), Err(NoSuchFence("none".into())));
    }
}
