//! How we look at an instance: each measure answers what it saw; judging is the domain's.

use crate::domain::Timestamp;
use crate::domain::check::CheckCode;
use crate::domain::origin::{Origin, Scheme};
use crate::domain::scan::{Measured, Unmeasured};
use crate::outbound::{Outbound, OutboundError, Stage, Step, Verdict};

/// Measures through the guarded client.
#[derive(Clone)]
pub struct Probe {
    outbound: Outbound,
}

impl std::fmt::Debug for Probe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Probe")
    }
}

impl Probe {
    /// Measures through this client.
    #[must_use]
    pub const fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    /// Whether a URL may be called, and how many addresses its name has.
    pub async fn addresses(&self, origin: &Origin) -> (Measured<()>, Measured<usize>) {
        match self.outbound.resolve(origin).await {
            Ok(addresses) => (Ok(()), Ok(addresses.len())),
            Err(error) if matches!(error.stage, Stage::Refused(_)) => {
                let blocked = Unmeasured::Blocked { by: CheckCode::PeerUrlSafe };
                (Err(failed(&error)), Err(blocked))
            }
            Err(error) => (Ok(()), Err(failed(&error))),
        }
    }

    /// When an instance's certificate expires; none when it is reached without TLS.
    pub async fn certificate(&self, origin: &Origin) -> Measured<Option<Timestamp>> {
        if origin.scheme() == Scheme::Http {
            return Ok(None);
        }
        let facts = self.outbound.inspect_tls(origin).await.map_err(|error| {
            // Also where something takes the connection and is silent, as a host whose instance does not run may.
            let nobody = matches!(error.stage, Stage::Tcp | Stage::Timeout { at: Step::Tcp | Step::Tls });
            match failed(&error) {
                Unmeasured::Failed { reason } if nobody => Unmeasured::Unanswered { reason },
                failed => failed,
            }
        })?;
        let expiry = Timestamp::from_timestamp(facts.not_after, 0);
        expiry
            .map(Some)
            .ok_or_else(|| Unmeasured::Broken { why: "the certificate's dates are no dates".to_owned() })
    }
}

/// What a requester may know of a failed measure: where it failed, not what stands there.
fn failed(error: &OutboundError) -> Unmeasured {
    tracing::info!(%error, "a measure failed");
    let reason = match error.verdict() {
        Verdict::NotAcceptable => "It may not be called from here.".to_owned(),
        Verdict::NotReachable => error.stage.sentence().to_owned(),
    };
    Unmeasured::Failed { reason }
}
