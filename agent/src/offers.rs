//! Models of open rounds, offered to local applications until the round closes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::sync::watch;

/// A model that an application may answer.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Number of the round.
    pub number: u64,
    /// The model, its hash checked against the owner's grant.
    pub model: Bytes,
    /// When the round no longer takes an answer, by this device's own clock.
    pub until: Instant,
}

/// The newest offer of each task.
#[derive(Debug)]
pub struct Offers(watch::Sender<HashMap<String, Offer>>);

impl Default for Offers {
    fn default() -> Self {
        Self(watch::Sender::new(HashMap::new()))
    }
}

impl Offers {
    /// Offers a model, in place of an earlier one of the same task.
    pub fn put(&self, task: &str, offer: Offer) {
        self.0.send_modify(|offers| {
            offers.insert(task.to_owned(), offer);
        });
    }

    /// Withdraws the offer of this round: it was answered, or the round closed.
    pub fn withdraw(&self, task: &str, number: u64) {
        self.0.send_if_modified(|offers| {
            let there = offers.get(task).is_some_and(|offer| offer.number == number);
            there && offers.remove(task).is_some()
        });
    }

    /// The offer of a task, if it is still open.
    pub fn current(&self, task: &str) -> Option<Offer> {
        let offers = self.0.borrow();
        offers.get(task).filter(|offer| Instant::now() < offer.until).cloned()
    }

    /// Waits up to `wait` for an open offer of `task`.
    pub async fn next(&self, task: &str, wait: Duration) -> Option<Offer> {
        let mut changes = self.0.subscribe();
        let open = changes
            .wait_for(|offers| offers.get(task).is_some_and(|offer| Instant::now() < offer.until));
        let offers = tokio::time::timeout(wait, open).await.ok()?.ok()?;
        offers.get(task).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn offer(number: u64, open_for: Duration) -> Offer {
        Offer { number, model: Bytes::from_static(&[7]), until: Instant::now() + open_for }
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(30);

    #[tokio::test]
    async fn an_offer_wakes_whoever_waits_for_its_task() {
        let offers = Arc::new(Offers::default());
        let waiting = tokio::spawn({
            let offers = offers.clone();
            async move { offers.next("penguins", LONG).await.map(|offer| offer.number) }
        });
        tokio::time::sleep(SHORT).await;
        offers.put("histogram", offer(1, LONG));
        offers.put("penguins", offer(4, LONG));
        assert_eq!(waiting.await.unwrap(), Some(4));
    }

    #[tokio::test]
    async fn closed_and_withdrawn_offers_are_none() {
        let offers = Offers::default();
        offers.put("penguins", offer(4, Duration::ZERO));
        assert!(offers.current("penguins").is_none());
        assert!(offers.next("penguins", SHORT).await.is_none());
        offers.put("penguins", offer(5, LONG));
        offers.withdraw("penguins", 4);
        assert_eq!(offers.current("penguins").unwrap().number, 5);
        offers.withdraw("penguins", 5);
        assert!(offers.next("penguins", SHORT).await.is_none());
    }
}
