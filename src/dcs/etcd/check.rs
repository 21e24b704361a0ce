//! What an administrator should know about an etcd cluster: old versions, alarms, a history that
//! nobody compacts, the shortest lease it gives.

use std::fmt;
use std::time::Duration;

use etcd_client::{Client, GetOptions};

use super::{EtcdStore, errors, revision_of};
use crate::dcs::StoreError;
use crate::values::Revision;

/// With a renewal each second, a history of this many revisions is half a day old: whoever compacts
/// automatically would have done so.
const UNCOMPACTED_REVISIONS_MAX: i64 = 50_000;

/// Something worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A member runs a version with known faults in leases or linearizable reads.
    OldVersion {
        /// The member's URL.
        endpoint: String,
        /// What it runs.
        version: String,
        /// The first version of that series without them.
        at_least: &'static str,
    },
    /// A member reports a problem itself, such as an alarm.
    Reported {
        /// The member's URL.
        endpoint: String,
        /// What it says.
        problem: String,
    },
    /// A member did not tell how it is.
    Silent {
        /// The member's URL.
        endpoint: String,
        /// Why.
        reason: String,
    },
    /// The history goes back to the first of so many revisions.
    NeverCompacted(Revision),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::OldVersion { endpoint, version, at_least } => {
                write!(f, "etcd member {endpoint} runs {version}; {at_least} or later is advised")
            }
            Finding::Reported { endpoint, problem } => {
                write!(f, "etcd member {endpoint} reports: {problem}")
            }
            Finding::Silent { endpoint, reason } => {
                write!(f, "etcd member {endpoint} did not tell its state: {reason}")
            }
            Finding::NeverCompacted(revision) => write!(
                f,
                "etcd keeps all of {revision} revisions; switch its auto-compaction on \
                 (--auto-compaction-mode, --auto-compaction-retention)"
            ),
        }
    }
}

/// The longest election timeout that etcd can have if this is the shortest lease it grants: it grants
/// at least one and a half times that timeout.
pub fn election_timeout_max(shortest_ttl: Duration) -> Duration {
    shortest_ttl * 2 / 3
}

impl EtcdStore {
    /// Asks each member how it is, `within` for each. Whether etcd compacts by itself is told only once
    /// it is plain that it does not: etcd has no request for it.
    ///
    /// # Errors
    /// When the credentials are refused; a member that does not answer is a finding.
    pub async fn findings(&self, within: Duration) -> Result<Vec<Finding>, StoreError> {
        let mut findings = Vec::new();
        for member in 0..self.pool.settings.endpoints.len() {
            findings.extend(self.member_findings(member, within).await?);
        }
        findings.extend(self.uncompacted(within).await?.map(Finding::NeverCompacted));
        Ok(findings)
    }

    async fn member_findings(
        &self,
        member: usize,
        within: Duration,
    ) -> Result<Vec<Finding>, StoreError> {
        let endpoint = self.pool.endpoint(member).url.clone();
        let ask = |client: Client| async move { client.maintenance_client().status().await };
        let status = match self.pool.call_at(member, within, ask).await {
            Ok(status) => status,
            Err(error @ StoreError::Denied(_)) => return Err(error),
            Err(error) => return Ok(vec![Finding::Silent { endpoint, reason: error.to_string() }]),
        };
        let problems = status.errors().iter().map(|problem| Finding::Reported {
            endpoint: endpoint.clone(),
            problem: problem.trim().to_owned(),
        });
        let mut findings: Vec<Finding> = problems.collect();
        if let Some(at_least) = advised_instead_of(status.version()) {
            let version = status.version().to_owned();
            findings.push(Finding::OldVersion { endpoint, version, at_least });
        }
        Ok(findings)
    }

    /// The revision of a store with a long history that still has its first revision.
    async fn uncompacted(&self, within: Duration) -> Result<Option<Revision>, StoreError> {
        let first = GetOptions::new().with_revision(1).with_limit(1).with_count_only();
        let prefix = &self.pool.settings.prefix;
        let read = async |client: Client| match client
            .kv_client()
            .get(prefix.as_str(), Some(first.clone()))
            .await
        {
            Ok(reply) => Ok(Some(revision_of(reply.header()))),
            Err(error) if errors::is_compacted(&error) => Ok(None),
            Err(error) => Err(error),
        };
        match self.pool.call(within, read).await {
            Ok(revision) => Ok(revision.filter(|one| one.0 > UNCOMPACTED_REVISIONS_MAX)),
            Err(error @ StoreError::Denied(_)) => Err(error),
            // Then the members' own findings say enough.
            Err(_) => Ok(None),
        }
    }

    /// The shortest lease that etcd grants: asks for one second, and gives the lease back. It bounds
    /// the election timeout, which etcd does not tell: see [`election_timeout_max`].
    ///
    /// # Errors
    /// As [`crate::dcs::Store::grant_lease`].
    pub async fn probe_minimum_ttl(&self, within: Duration) -> Result<Duration, StoreError> {
        let grant = |client: Client| async move { client.lease_client().grant(1, None).await };
        let granted = self.pool.call(within, grant).await?;
        let id = granted.id();
        let revoke = |client: Client| async move { client.lease_client().revoke(id).await };
        if let Err(error) = self.pool.call(within, revoke).await {
            tracing::debug!(%error, "a lease for probing is left to expire");
        }
        Ok(Duration::from_secs(granted.ttl().try_into().unwrap_or(0)))
    }
}

/// The version to run instead of an old one.
fn advised_instead_of(version: &str) -> Option<&'static str> {
    let mut parts = version.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let (major, minor, patch) = (parts.next()?, parts.next()?, parts.next()?);
    let (patch_min, at_least) = match (major, minor) {
        (0..3, _) | (3, 0..4) => (u32::MAX, "3.4.42"),
        (3, 4) => (42, "3.4.42"),
        (3, 5) => (28, "3.5.28"),
        (3, 6) => (9, "3.6.9"),
        _ => return None,
    };
    (patch < patch_min).then_some(at_least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_versions_are_told_by_series() {
        for (version, advised) in [
            ("3.3.27", Some("3.4.42")),
            ("3.4.23", Some("3.4.42")),
            ("3.4.42", None),
            ("3.5.0-rc.1", Some("3.5.28")),
            ("3.5.28", None),
            ("3.6.8", Some("3.6.9")),
            ("3.6.9+git", None),
            ("3.7.0", None),
            ("4.0.0", None),
            ("unknown", None),
        ] {
            assert_eq!(advised_instead_of(version), advised, "{version}");
        }
    }

    #[test]
    fn the_shortest_lease_bounds_the_election_timeout() {
        let bound = election_timeout_max(Duration::from_secs(2));
        assert_eq!(bound.as_millis(), 1_333);
    }
}
