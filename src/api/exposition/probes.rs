//! What the probes found, as metrics.

use super::Exposition;
use crate::api::shown::Shown;
use crate::cluster::Finding;
use crate::publish::catalogue;

/// Writes them.
pub fn render(text: &mut Exposition, shown: &Shown) {
    let Shown { status, now } = *shown;
    let health = &status.health;
    text.single(&catalogue::STALLED, &[], u8::from(status.stalled));
    text.single(&catalogue::UNFIT, &[], u8::from(status.unfit.is_some()));
    let probes = [
        ("commit", &health.commit, health.failures.commit),
        ("connection", &health.connection, health.failures.connection),
        ("disk", &health.disk, health.failures.disk),
    ];
    let good = |finding: &Finding| match finding {
        Finding::Good { asked_at, took } => Some((now.since(*asked_at), *took)),
        Finding::Unknown | Finding::Silent { .. } | Finding::Bad { .. } => None,
    };
    text.head(&catalogue::PROBE_AGE, None);
    for (name, finding, _) in probes {
        if let Some((age, _)) = good(finding) {
            text.sample(catalogue::PROBE_AGE.name, &[("probe", name)], &age.as_secs_f64());
        }
    }
    text.head(&catalogue::PROBE_TOOK, None);
    for (name, finding, _) in probes {
        if let Some((_, took)) = good(finding) {
            text.sample(catalogue::PROBE_TOOK.name, &[("probe", name)], &took.as_secs_f64());
        }
    }
    text.head(&catalogue::PROBE_SILENT, None);
    for (name, finding, _) in probes {
        let silent = match finding {
            Finding::Silent { since } | Finding::Bad { since, .. } => now.since(*since),
            Finding::Unknown | Finding::Good { .. } => std::time::Duration::ZERO,
        };
        text.sample(catalogue::PROBE_SILENT.name, &[("probe", name)], &silent.as_secs_f64());
    }
    text.head(&catalogue::PROBE_FAILURES, None);
    for (name, _, failures) in probes {
        text.sample(catalogue::PROBE_FAILURES.name, &[("probe", name)], &failures);
    }
    text.head(&catalogue::LOG_VOLUME_FREE, None);
    if let Some(free) = health.free_bytes {
        text.sample(catalogue::LOG_VOLUME_FREE.name, &[], &free);
    }
}
