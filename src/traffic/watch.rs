//! What is worth a line while it happens: which nodes the connections reach, that some were lost, and when
//! answers came again. Many clients meet the same thing at once; they are told of together.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// The two kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LaneName {
    /// Writes.
    Writes,
    /// Reads.
    Reads,
}

impl fmt::Display for LaneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LaneName::Writes => "writes",
            LaneName::Reads => "reads",
        })
    }
}

/// Something that happened to one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When, from the start.
    pub at: Duration,
    /// To which kind of requests.
    pub lane: LaneName,
    /// What.
    pub what: What,
}

/// See [`Happening`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A connection stands.
    Opened {
        /// To this node.
        node: u16,
        /// Which is a standby.
        is_standby: bool,
    },
    /// A connection is gone.
    Lost {
        /// To this node.
        node: u16,
        /// Why.
        reason: String,
    },
    /// No connection could be made.
    Refused {
        /// Why.
        reason: String,
    },
    /// The first answer after one of the above.
    Back {
        /// From this node.
        node: u16,
        /// This long after the answer before.
        after: Duration,
    },
}

/// Something to be told, of all connections that it happened to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct News {
    /// When, from the start.
    #[serde(rename = "at_seconds", serialize_with = "as_seconds")]
    pub at: Duration,
    /// To which kind of requests.
    pub lane: LaneName,
    /// `connected`, `lost`, `refused` or `back`.
    pub kind: &'static str,
    /// The node, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// In words.
    pub text: String,
}

/// A length of time as JSON has it: seconds, to the millisecond.
pub fn as_seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(seconds(*duration))
}

/// Seconds, to the millisecond.
pub fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} s  {}: {}", self.at.as_secs_f64(), self.lane, self.text)
    }
}

/// An interruption shorter than this is not worth a line, if other connections went on meanwhile.
const WORTH_A_LINE: Duration = Duration::from_millis(250);

/// Groups what happens, and remembers what was told.
#[derive(Debug, Default)]
pub struct Watch {
    lanes: BTreeMap<LaneName, Lane>,
}

#[derive(Debug, Default)]
struct Lane {
    open: BTreeMap<u16, usize>,
    /// Whether nobody was connected at some time since the last answer.
    was_cut_off: bool,
    refused: Option<String>,
}

impl Watch {
    /// What is to be told of all that happened since the last time.
    pub fn news(&mut self, happenings: Vec<Happening>, nodes: &[String]) -> Vec<News> {
        let mut news = Vec::new();
        let mut opened: BTreeMap<(LaneName, u16, bool), (Duration, usize)> = BTreeMap::new();
        let mut lost: BTreeMap<(LaneName, u16, String), (Duration, usize)> = BTreeMap::new();
        let name = |node: u16| nodes.get(usize::from(node)).cloned().unwrap_or_default();
        let had: BTreeMap<LaneName, usize> =
            self.lanes.iter().map(|(name, lane)| (*name, lane.open.values().sum())).collect();
        for Happening { at, lane: lane_name, what } in happenings {
            let lane = self.lanes.entry(lane_name).or_default();
            let tell = |kind, node: Option<u16>, text| News {
                at,
                lane: lane_name,
                kind,
                node: node.map(name),
                text,
            };
            match what {
                What::Opened { node, is_standby } => {
                    *lane.open.entry(node).or_default() += 1;
                    opened.entry((lane_name, node, is_standby)).or_insert((at, 0)).1 += 1;
                }
                What::Lost { node, reason } => {
                    let open = lane.open.entry(node).or_default();
                    *open = open.saturating_sub(1);
                    lane.was_cut_off |= lane.open.values().sum::<usize>() == 0;
                    lost.entry((lane_name, node, reason)).or_insert((at, 0)).1 += 1;
                }
                What::Refused { reason } => {
                    if lane.refused.as_ref() != Some(&reason) {
                        news.push(tell("refused", None, format!("no connection: {reason}")));
                        lane.refused = Some(reason);
                    }
                }
                What::Back { node, after } => {
                    let is_news = std::mem::take(&mut lane.was_cut_off) || after >= WORTH_A_LINE;
                    lane.refused = None;
                    if is_news {
                        let (name, after) = (name(node), after.as_secs_f64());
                        let text = format!("back at {name}, {after:.3} s after the last answer");
                        news.push(tell("back", Some(node), text));
                    }
                }
            }
        }
        for ((lane, node, reason), (at, count)) in lost {
            let had = had.get(&lane).copied().unwrap_or(count).max(count);
            let text = format!("{count} of {had} connections lost, to {}: {reason}", name(node));
            news.push(News { at, lane, kind: "lost", node: Some(name(node)), text });
        }
        for ((lane, node, is_standby), (at, count)) in opened {
            let plural = if count == 1 { "connection" } else { "connections" };
            let role = if is_standby { "standby" } else { "primary" };
            let text = format!("{count} {plural} to {} ({role})", name(node));
            news.push(News { at, lane, kind: "connected", node: Some(name(node)), text });
        }
        news.sort_by_key(|one| one.at);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLIS: fn(u64) -> Duration = Duration::from_millis;

    fn nodes() -> Vec<String> {
        vec!["pg-a".to_owned(), "pg-b".to_owned()]
    }

    fn at(millis: u64, lane: LaneName, what: What) -> Happening {
        Happening { at: MILLIS(millis), lane, what }
    }

    fn lines(news: &[News]) -> Vec<&str> {
        news.iter().map(|one| one.text.as_str()).collect()
    }

    #[test]
    fn a_failover_is_told_in_three_lines() {
        let mut watch = Watch::default();
        let writes = LaneName::Writes;
        let open = |node| What::Opened { node, is_standby: false };
        let news = watch.news(vec![at(1, writes, open(0)), at(2, writes, open(0))], &nodes());
        assert_eq!(lines(&news), ["2 connections to pg-a (primary)"]);
        let lost = || What::Lost { node: 0, reason: "shut down".to_owned() };
        let refused = || What::Refused { reason: "connection refused".to_owned() };
        let happened = vec![
            at(100, writes, lost()),
            at(101, writes, lost()),
            at(110, writes, refused()),
            at(120, writes, refused()),
        ];
        let told = watch.news(happened, &nodes());
        let expected =
            ["2 of 2 connections lost, to pg-a: shut down", "no connection: connection refused"];
        assert_eq!(lines(&told), expected);
        assert!(watch.news(vec![at(150, writes, refused())], &nodes()).is_empty());
        let back = What::Back { node: 1, after: MILLIS(1234) };
        let told = watch.news(vec![at(1300, writes, open(1)), at(1334, writes, back)], &nodes());
        let expected =
            ["1 connection to pg-b (primary)", "back at pg-b, 1.234 s after the last answer"];
        assert_eq!(lines(&told), expected);
        assert_eq!(
            told[1].to_string(),
            "    1.334 s  writes: back at pg-b, 1.234 s after the last answer"
        );
    }

    #[test]
    fn while_others_answer_a_short_interruption_is_no_news() {
        let mut watch = Watch::default();
        let reads = LaneName::Reads;
        let open = |node| What::Opened { node, is_standby: true };
        watch.news(vec![at(1, reads, open(0)), at(1, reads, open(1))], &nodes());
        let lost = What::Lost { node: 0, reason: "gone".to_owned() };
        let back = What::Back { node: 1, after: MILLIS(12) };
        let told = watch.news(vec![at(50, reads, lost), at(55, reads, back)], &nodes());
        assert_eq!(lines(&told), ["1 of 2 connections lost, to pg-a: gone"]);
    }
}
