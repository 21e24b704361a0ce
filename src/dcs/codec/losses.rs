//! The spelling of what a member gave up of its own log: a key of ours, for people too, and a part of
//! the agent's journal. Positions and times are texts, as people read them.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::json;
use crate::cluster::{Loss, LossStep};
use crate::values::{Lsn, Timeline};

#[derive(Serialize, Deserialize)]
struct LossRecord {
    time: String,
    timeline: Timeline,
    from: Option<String>,
    to: String,
    bytes: Option<u64>,
    exact: bool,
    step: String,
}

const STEPS: [LossStep; 3] = [LossStep::Rewind, LossStep::SetAside, LossStep::Remove];

/// Spells a `losses/<name>` key, oldest first.
pub fn losses(losses: &[Loss]) -> Bytes {
    let record = |one: &Loss| LossRecord {
        time: Timestamp::from_microsecond(one.at_micros).unwrap_or_default().to_string(),
        timeline: one.timeline,
        from: one.from.map(|from| from.to_string()),
        to: one.to.to_string(),
        bytes: one.bytes(),
        exact: one.is_exact,
        step: one.step.as_str().to_owned(),
    };
    json::to_bytes(&losses.iter().map(record).collect::<Vec<_>>())
}

/// Reads what [`losses`] spells.
///
/// # Errors
/// What is wrong with it.
pub fn read_losses(bytes: &[u8]) -> Result<Vec<Loss>, String> {
    let records: Vec<LossRecord> = json::from_bytes(bytes)?;
    let lsn = |text: &str| text.parse::<Lsn>().map_err(|error| error.to_string());
    let loss = |one: LossRecord| {
        let time = one.time.parse::<Timestamp>().map_err(|error| error.to_string())?;
        let step = STEPS.into_iter().find(|step| step.as_str() == one.step);
        Ok(Loss {
            at_micros: time.as_microsecond(),
            timeline: one.timeline,
            from: one.from.as_deref().map(lsn).transpose()?,
            to: lsn(&one.to)?,
            is_exact: one.exact,
            step: step.ok_or_else(|| format!("{:?} is no step that is known", one.step))?,
        })
    };
    records.into_iter().map(loss).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_spelled_for_people_and_reads_the_same() {
        let lost = Loss {
            at_micros: 1_740_903_340_120_001,
            timeline: Timeline(3),
            from: Some(Lsn(0x0300_0060)),
            to: Lsn(0x0300_0160),
            is_exact: true,
            step: LossStep::SetAside,
        };
        let unknown = Loss { from: None, step: LossStep::Rewind, is_exact: false, ..lost };
        let spelled = losses(&[lost, unknown]);
        let expected = r#"[{"time":"2025-03-02T08:15:40.120001Z","timeline":3,"from":"0/3000060","to":"0/3000160","bytes":256,"exact":true,"step":"set aside"},"#;
        assert!(spelled.starts_with(expected.as_bytes()), "{spelled:?}");
        assert_eq!(read_losses(&spelled), Ok(vec![lost, unknown]));
        assert!(read_losses(br#"[{"time":"x"}]"#).is_err());
    }
}
