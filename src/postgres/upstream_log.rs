//! Whether another member's server still has the log from a position on. The standby's own receiver
//! tells that in its log alone, in whatever language that is written.

use tokio_postgres::{Client, Config, NoTls};

use super::port::{ServerError, Upstream};
use super::server::LocalServer;
use crate::values::{Lsn, WalPosition};

const WHAT: &str = "the upstream's log";

const WHERE_IT_ENDS: &str = "SELECT pg_current_wal_flush_lsn()::text, \
     (SELECT setting::int8 FROM pg_settings WHERE name = 'wal_segment_size')";

/// Under whichever timeline's name: after a promotion the segment of the fork is there under both.
const SEGMENTS: &str = "SELECT count(*) FROM pg_ls_dir('pg_wal', true, false) AS file \
     WHERE length(file) = 24 AND right(file, 16) = $1";

impl LocalServer {
    /// Asks with the account of `pg_rewind`, which may list the folder.
    pub(super) async fn upstream_has_log(
        &self,
        upstream: &Upstream,
        from: WalPosition,
    ) -> Result<bool, ServerError> {
        let account = self.place.accounts.for_rewind();
        let mut config = Config::new();
        config.host(&upstream.host).port(upstream.port).user(&account.username);
        config.dbname(&self.settings().database).application_name("pgbaton");
        if let Some(password) = &account.password {
            config.password(password);
        }
        let failed = |source| ServerError::Query { what: WHAT, source };
        let (client, connection) = config.connect(NoTls).await.map_err(failed)?;
        tokio::select! {
            answer = ask(&client, from.lsn) => answer,
            ended = connection => match ended {
                Err(error) => Err(failed(error)),
                Ok(()) => Err(ServerError::Ended("the connection was closed".to_owned())),
            },
        }
    }
}

async fn ask(client: &Client, from: Lsn) -> Result<bool, ServerError> {
    let failed = |source| ServerError::Query { what: WHAT, source };
    let row = client.query_one(WHERE_IT_ENDS, &[]).await.map_err(failed)?;
    let ends_at = row.get::<_, &str>(0).parse::<Lsn>();
    let ends_at = ends_at.map_err(|error| ServerError::NotPossible(error.to_string()))?;
    // Nothing was written after it yet: perhaps not even the file for it.
    if from >= ends_at {
        return Ok(true);
    }
    let segment = segment_of(from, row.get::<_, i64>(1).unsigned_abs());
    let row = client.query_one(SEGMENTS, &[&segment]).await.map_err(failed)?;
    Ok(row.get::<_, i64>(0) > 0)
}

/// The last sixteen digits of the name of the file that holds a position.
fn segment_of(lsn: Lsn, bytes: u64) -> String {
    let bytes = bytes.max(1);
    let number = lsn.0 / bytes;
    let each = (0x1_0000_0000 / bytes).max(1);
    format!("{:08X}{:08X}", number / each, number % each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_as_postgresql_names_them() {
        assert_eq!(segment_of(Lsn(0x1_0300_0060), 16 << 20), "0000000100000003");
        assert_eq!(segment_of(Lsn(0x4000_0000), 1 << 30), "0000000000000001");
    }
}
