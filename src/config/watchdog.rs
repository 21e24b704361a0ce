//! The `watchdog` section, with Patroni's keys and defaults.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::scalar_rules::{Unit, parse_int};
use super::yaml::Node;
use crate::values::{Watchdog, WatchdogDriver, WatchdogMode};

/// What a watchdog device can be told.
const TIMEOUT_SECONDS_MAX: i64 = 65_534;

/// The `watchdog` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchdogConfig {
    /// Whether one is used.
    pub mode: WatchdogMode,
    /// Its path.
    pub device: PathBuf,
    /// How much shorter than `ttl` its timeout is, in seconds; -1 for half of `ttl`.
    pub safety_margin: i64,
    /// How it is spoken to.
    pub driver: WatchdogDriver,
}

impl Default for WatchdogConfig {
    fn default() -> Self {
        Self {
            mode: WatchdogMode::default(),
            device: PathBuf::from("/dev/watchdog"),
            safety_margin: 5,
            driver: WatchdogDriver::default(),
        }
    }
}

impl WatchdogConfig {
    /// What is asked of the device at this `ttl`; `None` where none is used.
    ///
    /// # Errors
    /// When no timeout is left: the text says why.
    pub fn at(&self, ttl: Duration) -> Result<Option<Watchdog>, String> {
        if self.mode == WatchdogMode::Off {
            return Ok(None);
        }
        let ttl = i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX);
        let timeout = match self.safety_margin {
            -1 => ttl / 2,
            margin => ttl.saturating_sub(margin),
        };
        let seconds = u16::try_from(timeout).ok();
        let seconds = seconds.filter(|_| (1..=TIMEOUT_SECONDS_MAX).contains(&timeout));
        let Some(seconds) = seconds else {
            return Err(format!(
                "ttl ({ttl} s) less watchdog.safety_margin ({} s) leaves a timeout of {timeout} s, and \
                 it has to be 1 to {TIMEOUT_SECONDS_MAX} s: set safety_margin to -1 for half of ttl",
                self.safety_margin
            ));
        };
        let is_required = self.mode == WatchdogMode::Required;
        Ok(Some(Watchdog {
            device: self.device.clone(),
            driver: self.driver,
            seconds,
            is_required,
        }))
    }
}

/// The mode; `None` for what is none.
pub(super) fn mode(value: &Value) -> Option<WatchdogMode> {
    match value {
        Value::Bool(false) => Some(WatchdogMode::Off),
        Value::String(word) => WatchdogMode::of(word),
        Value::Null => Some(WatchdogMode::default()),
        Value::Bool(true) | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

pub(super) fn read(root: &Node) -> WatchdogConfig {
    let default = WatchdogConfig::default();
    let at = |key: &str| root.at(key).map(Node::to_json);
    let device = root.at("watchdog.device").and_then(Node::text).map(PathBuf::from);
    let margin = at("watchdog.safety_margin").and_then(|one| parse_int(&one, Unit::None));
    let is_testing = root.at("watchdog.driver").and_then(Node::text) == Some("testing");
    WatchdogConfig {
        mode: at("watchdog.mode").and_then(|one| mode(&one)).unwrap_or(default.mode),
        device: device.unwrap_or(default.device),
        safety_margin: margin.unwrap_or(default.safety_margin),
        driver: if is_testing { WatchdogDriver::Testing } else { WatchdogDriver::Linux },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_is_what_patroni_makes_of_it() {
        let seconds = |ttl, safety_margin| {
            let config = WatchdogConfig { safety_margin, ..WatchdogConfig::default() };
            config.at(Duration::from_secs(ttl)).map(|watchdog| watchdog.unwrap().seconds)
        };
        assert_eq!(seconds(30, 5), Ok(25));
        assert_eq!(seconds(30, -1), Ok(15));
        assert_eq!(seconds(5, -1), Ok(2));
        assert_eq!(seconds(30, 0), Ok(30));
        assert!(seconds(5, 5).unwrap_err().contains("leaves a timeout of 0 s"));
        assert!(seconds(100_000, 5).is_err());
        let off = WatchdogConfig { mode: WatchdogMode::Off, ..WatchdogConfig::default() };
        assert_eq!(off.at(Duration::from_secs(5)), Ok(None));
    }
}
