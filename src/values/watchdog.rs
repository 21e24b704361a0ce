//! What is asked of a watchdog device.

use std::path::PathBuf;

/// Whether a watchdog device is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WatchdogMode {
    /// Never.
    Off,
    /// Where there is one that works.
    #[default]
    Automatic,
    /// A node without one that works does not become primary.
    Required,
}

impl WatchdogMode {
    /// Patroni's words for it; `None` for anything else.
    pub fn of(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "off" | "false" | "no" | "disable" | "disabled" => Some(WatchdogMode::Off),
            "automatic" | "auto" => Some(WatchdogMode::Automatic),
            "required" | "require" => Some(WatchdogMode::Required),
            _ => None,
        }
    }

    /// The word for documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            WatchdogMode::Off => "off",
            WatchdogMode::Automatic => "automatic",
            WatchdogMode::Required => "required",
        }
    }
}

/// How the device is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WatchdogDriver {
    /// As Linux' watchdog devices are.
    #[default]
    Linux,
    /// In words, for tests: no machine is restarted by it.
    Testing,
}

/// A device, and how long after the last sign of life it restarts the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watchdog {
    /// Its path.
    pub device: PathBuf,
    /// How it is spoken to.
    pub driver: WatchdogDriver,
    /// Its timeout.
    pub seconds: u16,
    /// Whether a node without it must not become primary.
    pub is_required: bool,
}
