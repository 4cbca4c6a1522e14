//! Server-sent events as they arrive.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use serde_json::Value;

/// How long the next event may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The results of a subscription.
pub(crate) struct Events {
    chunks: std::pin::Pin<Box<dyn Stream<Item = reqwest::Result<Vec<u8>>> + Send>>,
    buffer: Vec<u8>,
}

impl Events {
    pub(crate) fn of(answer: reqwest::Response) -> Self {
        assert_eq!(answer.status(), 200);
        let chunks = answer.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec()));
        Self { chunks: Box::pin(chunks), buffer: Vec::new() }
    }

    /// The next result; none when the operation completed.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let event = tokio::time::timeout(PATIENCE, self.event()).await.expect("no event came");
        let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap_or_default();
        (!event.starts_with("event: complete")).then(|| serde_json::from_str(data).unwrap())
    }

    /// The next result's event: the field of the subscription, which must be without errors.
    pub(crate) async fn expect(&mut self) -> Value {
        let result = self.next().await.expect("the subscription completed");
        assert!(result.get("errors").is_none(), "{result:#}");
        result["data"].as_object().unwrap().values().next().unwrap().clone()
    }

    async fn event(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let event = String::from_utf8(event).unwrap();
                if !event.starts_with(':') {
                    return event;
                }
            } else {
                self.buffer.extend(self.chunks.next().await.expect("the stream was cut").unwrap());
            }
        }
    }
}
