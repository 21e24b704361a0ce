//! A watch: a connection of its own to one member, until it breaks. Going on from where it ended is
//! up to who watches.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{Client, Error, WatchOptions, WatchResponse, WatchStream};

use super::pool::{Pool, Use};
use super::{REPLY_BYTES_MAX, errors, raw_value};
use crate::dcs::{Change, Changes, StoreError};
use crate::values::Revision;

/// The changes below the prefix, from one etcd member.
pub struct EtcdChanges {
    stream: WatchStream,
    pool: Arc<Pool>,
    member: usize,
    /// Keeps the connection open.
    _client: Client,
}

pub(super) async fn open(
    pool: &Arc<Pool>,
    after: Revision,
    within: Duration,
) -> Result<EtcdChanges, StoreError> {
    let member = pool.member_in_use();
    let attempt = async {
        let connected = pool.connect(member, Use::Watch, within).await;
        let client = connected.map_err(|error| meaning(pool, member, &error))?;
        let from = after.0.saturating_add(1);
        let options =
            WatchOptions::new().with_prefix().with_start_revision(from).with_progress_notify();
        let mut watcher = client.watch_client().max_decoding_message_size(REPLY_BYTES_MAX);
        let opened = watcher.watch(pool.settings.prefix.as_str(), Some(options)).await;
        let stream = opened.map_err(|error| meaning(pool, member, &error))?;
        let mut changes = EtcdChanges { stream, pool: pool.clone(), member, _client: client };
        // The first message says that the watch stands. What comes later is not lost.
        changes.message().await?;
        Ok(changes)
    };
    let result =
        tokio::time::timeout(within, attempt).await.unwrap_or(Err(StoreError::NoAnswer(within)));
    if result.as_ref().is_err_and(StoreError::is_ambiguous) {
        pool.leave(member);
    }
    result
}

fn meaning(pool: &Pool, member: usize, error: &Error) -> StoreError {
    errors::meaning(error, &pool.endpoint(member).url)
}

impl EtcdChanges {
    /// The next message of a watch that goes on. A cancelled watch's stream stays open and silent, so
    /// that each message must be asked.
    async fn message(&mut self) -> Result<WatchResponse, StoreError> {
        let endpoint = &self.pool.endpoint(self.member).url;
        let message = match self.stream.message().await {
            Ok(Some(message)) => message,
            Ok(None) => {
                return Err(StoreError::Failed(format!("{endpoint}: the watch's stream ended")));
            }
            Err(error) => return Err(errors::meaning(&error, endpoint)),
        };
        if message.compact_revision() != 0 {
            return Err(StoreError::Compacted(Revision(message.compact_revision())));
        }
        if message.canceled() {
            return Err(errors::cancellation(message.cancel_reason(), endpoint));
        }
        Ok(message)
    }

    fn changes_of(&self, message: &WatchResponse) -> Vec<Change> {
        let change = |pair: &etcd_client::KeyValue| {
            let key = pair.key_str().ok()?.strip_prefix(&self.pool.settings.prefix)?;
            // A deletion is told as a pair without a version.
            let value = (pair.version() != 0).then(|| raw_value(pair));
            let revision = Revision(pair.mod_revision());
            Some(Change { key: key.to_owned(), value, revision })
        };
        message.events().iter().filter_map(|event| change(event.kv()?)).collect()
    }
}

impl Changes for EtcdChanges {
    async fn next(&mut self) -> Result<Vec<Change>, StoreError> {
        loop {
            let message = self.message().await.inspect_err(|error| {
                if error.is_ambiguous() {
                    self.pool.leave(self.member);
                }
            })?;
            // Messages without changes only tell how far the member is.
            let changes = self.changes_of(&message);
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }
}
