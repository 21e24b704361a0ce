//! Whether another member's server still has the log from a position on. The standby's own receiver
//! tells that in its log alone, in whatever language that is written.

use super::port::{ServerError, Upstream};
use super::programs::Run;
use super::segments::segment_of;
use super::server::LocalServer;
use crate::values::{Lsn, WalPosition};

const WHERE_IT_ENDS: &str = "SELECT pg_current_wal_flush_lsn(), \
     (SELECT setting::int8 FROM pg_settings WHERE name = 'wal_segment_size')";

impl LocalServer {
    /// Asks with the account of `pg_rewind`, which may list the folder. By `psql`, which takes what the account says
    /// of TLS as the receiver does.
    pub(super) async fn upstream_has_log(
        &self,
        upstream: &Upstream,
        from: WalPosition,
    ) -> Result<bool, ServerError> {
        let told = self.asked(upstream, WHERE_IT_ENDS).await?;
        let answer = told.trim().split_once('|').and_then(|(ends_at, segment)| {
            Some((ends_at.parse::<Lsn>().ok()?, segment.parse::<u64>().ok()?))
        });
        let (ends_at, segment) =
            answer.ok_or_else(|| ServerError::NotPossible(format!("an odd answer: {told}")))?;
        // Nothing was written after it yet: perhaps not even the file for it.
        if from.lsn >= ends_at {
            return Ok(true);
        }
        // Under whichever timeline's name: after a promotion the segment of the fork is there under both.
        let files = format!(
            "SELECT count(*) FROM pg_ls_dir('pg_wal', true, false) AS file \
             WHERE length(file) = 24 AND right(file, 16) = '{}'",
            segment_of(from.lsn, segment)
        );
        Ok(self.asked(upstream, &files).await?.trim() != "0")
    }

    /// Without `psql` it is not known, and the rewind itself will tell.
    pub(super) async fn ask_source(&self, source: &Upstream) -> Result<(), ServerError> {
        match self.asked(source, "SELECT 1").await {
            Ok(_) | Err(ServerError::NoProgram { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn asked(
        &self,
        upstream: &Upstream,
        statement: &str,
    ) -> Result<String, ServerError> {
        let settings = self.settings();
        let account = self.place.accounts.for_rewind();
        let conninfo = self
            .place
            .conninfo_to(upstream, account, self.major().await?)
            .with("dbname", &settings.database)
            .with("application_name", "pgbaton")
            .into_text();
        let psql = settings.bin_dir.as_ref().map_or_else(|| "psql".into(), |dir| dir.join("psql"));
        let run = Run::new(psql)
            .args(["--no-psqlrc", "--no-password", "--quiet", "--tuples-only", "--no-align"])
            .args(["--dbname".to_owned(), conninfo, "--command".to_owned(), statement.to_owned()]);
        self.programs.run(run).await
    }
}
