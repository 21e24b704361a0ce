//! `-w` and `-W`: the same again every few seconds.

use std::time::Duration;

use clap::Args;

use super::terminal;

/// The period of `-W`, in seconds.
const PERIOD_SECONDS: f64 = 2.0;

/// How often a command does its work.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct RefreshArgs {
    /// Refresh every so many seconds, until Ctrl-C.
    #[arg(short, long, value_name = "SECONDS", value_parser = period)]
    pub watch: Option<f64>,
    /// Refresh every 2 seconds, until Ctrl-C.
    #[arg(short = 'W')]
    pub refresh: bool,
}

impl RefreshArgs {
    /// How long to wait between two times; `None` for once only.
    pub(super) fn period(&self) -> Option<Duration> {
        let seconds = self.watch.or(self.refresh.then_some(PERIOD_SECONDS));
        seconds.map(Duration::from_secs_f64)
    }
}

/// Does the work once or again and again.
pub(super) async fn repeat(
    args: &RefreshArgs,
    mut work: impl AsyncFnMut() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(period) = args.period() else { return work().await };
    loop {
        terminal::clear()?;
        work().await?;
        tokio::time::sleep(period).await;
    }
}

fn period(text: &str) -> Result<f64, String> {
    let expected = || "expected seconds, from 0.1 to 86400".to_owned();
    let seconds: f64 = text.parse().map_err(|_| expected())?;
    Some(seconds).filter(|one| (0.1..=86_400.0).contains(one)).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_period_wins() {
        let both = RefreshArgs { watch: Some(0.5), refresh: true };
        assert_eq!(both.period(), Some(Duration::from_millis(500)));
        let usual = RefreshArgs { watch: None, refresh: true };
        assert_eq!(usual.period(), Some(Duration::from_secs(2)));
        assert_eq!(RefreshArgs::default().period(), None);
    }

    #[test]
    fn no_period_is_nonsense() {
        for text in ["", "x", "0", "-1", "NaN", "inf", "1e300"] {
            assert!(period(text).is_err(), "{text}");
        }
    }
}
