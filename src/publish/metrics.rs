//! What the agent counts and times while it works. A handle is cheap to clone and to record with;
//! there is no global. What can be read from the status is not kept here.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::{LabelPair, MetricFamily};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
};

use super::catalogue::{
    DECISIONS, DEMOTIONS, FENCED, Family, PROMOTIONS, RENEWALS, STORE, TURN, WAKES,
};
use crate::wake::Wake;

/// From a tenth of a millisecond, which a turn takes when nothing happens, to half a minute.
const SECONDS_BUCKETS: &[f64] =
    &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// What can become of a try to renew the lease.
const RENEWAL_OUTCOMES: [&str; 5] = ["renewed", "late", "lost", "unanswered", "stuck"];

/// A stage of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Looking at the server, and gathering what else is known.
    Observe,
    /// Deciding.
    Decide,
    /// What was decided is done; counted when it ends.
    Act,
    /// Showing what is so now.
    Publish,
}

impl Stage {
    /// All of them, in their order.
    pub const ALL: [Stage; 4] = [Stage::Observe, Stage::Decide, Stage::Act, Stage::Publish];

    /// The label of the metric.
    pub const fn label(self) -> &'static str {
        match self {
            Stage::Observe => "observe",
            Stage::Decide => "decide",
            Stage::Act => "act",
            Stage::Publish => "publish",
        }
    }
}

/// Where the agent records. Nothing here reads a clock: durations come as values.
#[derive(Clone)]
pub struct Metrics(Arc<Recorded>);

struct Recorded {
    registry: Registry,
    turn: [Histogram; Stage::ALL.len()],
    wakes: [IntCounter; Wake::ALL.len()],
    decisions: IntCounterVec,
    promotions: IntCounterVec,
    demotions: IntCounterVec,
    renewals: IntCounterVec,
    store: HistogramVec,
    fenced: IntCounterVec,
}

impl Default for Metrics {
    /// Starts counting at zero.
    fn default() -> Self {
        let registry = Registry::new();
        let (turn, wakes) = (histogram(&registry, TURN), counter(&registry, WAKES));
        let recorded = Recorded {
            // Every turn counts these: by number, not by name.
            turn: Stage::ALL.map(|stage| turn.with_label_values(&[stage.label()])),
            wakes: Wake::ALL.map(|wake| wakes.with_label_values(&[wake.label()])),
            decisions: counter(&registry, DECISIONS),
            promotions: counter(&registry, PROMOTIONS),
            demotions: counter(&registry, DEMOTIONS),
            renewals: counter(&registry, RENEWALS),
            store: histogram(&registry, STORE),
            fenced: counter(&registry, FENCED),
            registry,
        };
        // What can happen at all is shown from the start: a series that appears at its first event
        // hides that event from `rate()`.
        drop(recorded.fenced.with_label_values::<&str>(&[]));
        for outcome in RENEWAL_OUTCOMES {
            drop(recorded.renewals.with_label_values(&[outcome]));
        }
        Self(Arc::new(recorded))
    }
}

impl Metrics {
    /// A stage of a turn took so long.
    pub fn turn(&self, stage: Stage, took: Duration) {
        self.0.turn[stage as usize].observe(took.as_secs_f64());
    }

    /// A turn was started by this.
    pub fn wake(&self, wake: Wake) {
        self.0.wakes[wake as usize].inc();
    }

    /// The decision in force has changed to one with this label.
    pub fn decision(&self, label: &'static str) {
        self.0.decisions.with_label_values(&[label]).inc();
    }

    /// The server was promoted, for this reason.
    pub fn promotion(&self, reason: &'static str) {
        self.0.promotions.with_label_values(&[reason]).inc();
    }

    /// A primary was taken down, for this reason.
    pub fn demotion(&self, reason: &'static str) {
        self.0.demotions.with_label_values(&[reason]).inc();
    }

    /// The guardian killed the server at its deadline.
    pub fn fenced(&self) {
        self.0.fenced.with_label_values::<&str>(&[]).inc();
    }

    /// A try to renew the lease ended so.
    pub fn renewal(&self, outcome: &'static str) {
        self.0.renewals.with_label_values(&[outcome]).inc();
    }

    /// A request to the store ended: what it was, how long it took, whether it was answered.
    pub fn store(&self, operation: &'static str, took: Duration, answered: bool) {
        let outcome = if answered { "ok" } else { "error" };
        self.0.store.with_label_values(&[operation, outcome]).observe(took.as_secs_f64());
    }

    /// All that was recorded, in Prometheus' text format, each sample with these labels first.
    pub fn render(&self, owner: &[(&str, &str)]) -> String {
        let mut families = self.0.registry.gather();
        families.iter_mut().for_each(|family| prepend(family, owner));
        TextEncoder::new()
            .encode_to_string(&families)
            .expect("the catalogue's names are valid and memory can be written to")
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

fn prepend(family: &mut MetricFamily, owner: &[(&str, &str)]) {
    for metric in family.mut_metric() {
        let pair = |(name, value): &(&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value((*value).to_owned());
            pair
        };
        let own = metric.take_label();
        metric.set_label(owner.iter().map(pair).chain(own).collect());
    }
}

fn counter(registry: &Registry, family: Family) -> IntCounterVec {
    let options = Opts::new(family.name, family.help);
    registered(registry, IntCounterVec::new(options, family.labels))
}

fn histogram(registry: &Registry, family: Family) -> HistogramVec {
    let options = HistogramOpts::new(family.name, family.help).buckets(SECONDS_BUCKETS.to_vec());
    registered(registry, HistogramVec::new(options, family.labels))
}

fn registered<C: Collector + Clone + 'static>(
    registry: &Registry,
    made: prometheus::Result<C>,
) -> C {
    let metric = made.expect("the catalogue's names and labels are valid");
    registry.register(Box::new(metric.clone())).expect("no name is declared twice");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: &[(&str, &str)] = &[("scope", "shop"), ("name", "a")];

    /// The counters of every turn are found by number.
    #[test]
    fn each_wake_and_stage_is_at_its_place() {
        assert!(Wake::ALL.iter().enumerate().all(|(place, wake)| *wake as usize == place));
        assert!(Stage::ALL.iter().enumerate().all(|(place, stage)| *stage as usize == place));
    }

    #[test]
    fn what_was_recorded_is_rendered() {
        let metrics = Metrics::default();
        metrics.wake(Wake::Tick);
        metrics.wake(Wake::Tick);
        metrics.decision("lead");
        metrics.store("read", Duration::from_millis(2), true);
        metrics.renewal("late");
        let text = metrics.clone().render(OWNER);
        for line in [
            "# TYPE pgbaton_wakes_total counter",
            r#"pgbaton_wakes_total{scope="shop",name="a",cause="tick"} 2"#,
            r#"pgbaton_wakes_total{scope="shop",name="a",cause="store"} 0"#,
            r#"pgbaton_decision_changes_total{scope="shop",name="a",reason="lead"} 1"#,
            r#"pgbaton_lease_renewals_total{scope="shop",name="a",outcome="late"} 1"#,
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is missing in\n{text}");
        }
        assert!(text.contains("pgbaton_store_request_duration_seconds_count{"), "{text}");
    }

    #[test]
    fn two_agents_of_one_process_count_for_themselves() {
        let (a, b) = (Metrics::default(), Metrics::default());
        a.promotion("failover");
        assert!(a.render(OWNER).contains("pgbaton_promotions_total{"));
        assert!(!b.render(OWNER).contains("pgbaton_promotions_total{"));
    }
}
