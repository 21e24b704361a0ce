//! The API's way to the store. Handlers leave their questions on a desk; one task, which owns the
//! store, answers them. So the handlers need not know which store it is, nor on which thread it lives.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};

use crate::dcs::{RawSnapshot, Store, StoreError, Txn, TxnReply};

enum Question {
    Read { within: Duration, answer: oneshot::Sender<Result<RawSnapshot, StoreError>> },
    Commit { txn: Txn, within: Duration, answer: oneshot::Sender<Result<TxnReply, StoreError>> },
}

/// Where handlers leave their questions. Cheap to clone.
#[derive(Clone)]
pub struct StoreDesk(mpsc::UnboundedSender<Question>);

/// The other side of the desk: to be run by a task that has a store.
pub struct StoreClerk(mpsc::UnboundedReceiver<Question>);

/// A desk and its clerk.
pub fn store_desk() -> (StoreDesk, StoreClerk) {
    let (desk, clerk) = mpsc::unbounded_channel();
    (StoreDesk(desk), StoreClerk(clerk))
}

impl StoreDesk {
    /// As [`Store::read_all`].
    ///
    /// # Errors
    /// As there, and when the agent is ending.
    pub async fn read_all(&self, within: Duration) -> Result<RawSnapshot, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Question::Read { within, answer }, answered).await
    }

    /// As [`Store::commit`].
    ///
    /// # Errors
    /// As there, and when the agent is ending.
    pub async fn commit(&self, txn: Txn, within: Duration) -> Result<TxnReply, StoreError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Question::Commit { txn, within, answer }, answered).await
    }

    async fn ask<T>(
        &self,
        question: Question,
        answered: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let ending = || StoreError::Failed("the agent is ending".to_owned());
        self.0.send(question).map_err(|_| ending())?;
        answered.await.unwrap_or_else(|_| Err(ending()))
    }
}

impl StoreClerk {
    /// Answers until every desk is gone. Questions do not wait for each other.
    pub async fn run<S: Store>(mut self, store: S) {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                question = self.0.recv() => match question {
                    Some(question) => under_way.push(answer(store.clone(), question)),
                    None => break,
                },
                Some(()) = under_way.next(), if !under_way.is_empty() => {}
            }
        }
        while under_way.next().await.is_some() {}
    }
}

async fn answer<S: Store>(store: S, question: Question) {
    // Whoever asked may have gone away meanwhile.
    match question {
        Question::Read { within, answer } => drop(answer.send(store.read_all(within).await)),
        Question::Commit { txn, within, answer } => {
            drop(answer.send(store.commit(txn, within).await));
        }
    }
}
