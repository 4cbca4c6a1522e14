//! Claims to registration links (KX/1 phase 0): received and proven on the provider, made and answered for on the
//! consumer.

use chrono::TimeDelta;
use keyservice::{PublicKey, verify};
use serde_json::json;

use super::failure::failed_about;
use super::identity::printable;
use super::token::{digest, same};
use super::{Actions, Call, Done, Failure};
use crate::domain::attempt::{Attempt, Outcome, PhaseName};
use crate::domain::connection::{Connection, Part, Peer, State as ConnectionState};
use crate::domain::effect::Work;
use crate::domain::failure::Operation;
use crate::domain::id::{AttemptId, ClaimId, ConnectionId, InstanceId, LinkId, RegistrationId};
use crate::domain::origin::{Origin, OriginPolicy};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::domain::registration::{Registration, State};
use crate::domain::scan::Subject;
use crate::peer::wire::{self, Bytes, ClaimAnswer};
use crate::store::{Claim, ClaimState, Failed, NewJob, StoreError, Tx};

/// The most claims to one registration that are looked at within [`CLAIM_WINDOW`].
const CLAIM_LIMIT: u64 = 30;
const CLAIM_WINDOW: TimeDelta = TimeDelta::minutes(1);
/// How long a failed proof, or a passed rehearsal, is answered from memory.
const ANSWER_LASTS: TimeDelta = TimeDelta::seconds(2);
/// How long an onboarding may take on the provider before its link is open again.
const ATTEMPT_LASTS: TimeDelta = TimeDelta::hours(48);
/// When a claiming instance should ask again.
const RETRY_AFTER_MS: u64 = 100;
/// How often the same refusal of claims to one registration is written into its error log: whoever has a link may
/// redeem it as fast as they like, and each line would be a commit.
const LOGGED_EVERY: TimeDelta = TimeDelta::seconds(1);

/// What the link of a claim is, if the secret is right.
enum Redeemed {
    /// The link of a registration, whatever its state.
    Link(Box<Registration>),
    /// A link of a registration that does not work any more, and why.
    Spent(RegistrationId, String),
}

/// What the worker needs to ask a claiming origin for its proof.
#[derive(Clone, Debug)]
pub(crate) struct ProofPlan {
    /// Where to ask: the registered origin, never what the claim says.
    pub(crate) origin: Origin,
    /// What to ask.
    pub(crate) question: wire::Prove,
}

impl Actions {
    /// Receives a claim. Nothing is bound before the claiming origin has proven that it holds the key.
    ///
    /// # Errors
    /// `NO_MATCHING_REGISTRATION` with its reason, `LINK_CONTESTED`, `LINK_INVALID`, `RATE_LIMITED`.
    pub async fn receive_claim(&self, call: &Call, claim: &wire::Claim) -> Done<ClaimAnswer> {
        let answer = self.take_claim(call, claim).await;
        if let Err(Failure::Refused(refusal)) = &answer
            && refusal.code != RefusalCode::RateLimited
        {
            self.log_refused_claim(call, claim, refusal).await?;
        }
        answer
    }

    /// Whoever looks after the registration sees why its link was not taken, a link from before too. A claim without
    /// its secret is nobody's.
    async fn log_refused_claim(&self, call: &Call, claim: &wire::Claim, refusal: &Refusal) -> Done<()> {
        let mut tx = self.begin("claim.refused", call).await?;
        let registration = match self.redeemed(&tx, claim).await? {
            Some(Redeemed::Link(registration)) => *registration,
            Some(Redeemed::Spent(id, _)) => self.registration(&tx, id).await?,
            None => return Ok(()),
        };
        if self.log_claim(&mut tx, &registration, refusal).await? {
            tx.commit().await?;
        }
        Ok(())
    }

    /// Answers whether it was time to write it down.
    async fn log_claim(&self, tx: &mut Tx, registration: &Registration, refusal: &Refusal) -> Done<bool> {
        let about = (Subject::Registration(registration.id), Some(registration.company));
        let failed = failed_about(about, Operation::Claim, refusal, tx.trace());
        // The claim carried the trace of the instance that redeems the link.
        let failed = Failed { peer_trace: Some(tx.trace()), ..failed };
        if tx.failed_since(&failed, tx.now() - LOGGED_EVERY).await? {
            return Ok(false);
        }
        tx.record_failure(&failed).await?;
        Ok(true)
    }

    async fn take_claim(&self, call: &Call, claim: &wire::Claim) -> Done<ClaimAnswer> {
        let public = PublicKey::parse(&claim.pk.0).map_err(|_| invalid("KEY"))?;
        let mut tx = self.begin("claim.receive", call).await?;
        let registration = self.claimed_registration(&tx, claim).await?;
        self.verify_claim(&registration, claim, &public)?;
        let latest = tx.latest_claim(registration.id, &claim.pk.0, claim.rehearsal).await?;
        if let Some(answer) = latest.and_then(|latest| self.known_answer(&latest)) {
            return Ok(answer);
        }
        // A link that is bound is looked at once more when another key redeems it: that two instances can prove it is
        // the alarm (KX/1 phase 0, step 4).
        if claim.rehearsal || !registration.is_bound(tx.now()) {
            registration.claimable(tx.now())?;
        }
        if tx.claims_since(registration.id, tx.now() - CLAIM_WINDOW).await? >= CLAIM_LIMIT {
            return Err(Refusal::new(
                RefusalCode::RateLimited,
                "Too many claims to this link. Wait a minute.",
            )
            .into());
        }
        let row = Claim {
            id: ClaimId(tx.uuid()?),
            registration: registration.id,
            link: LinkId(claim.r),
            instance: InstanceId(claim.instance_id),
            origin: registration.origin.clone(),
            public_key: claim.pk.0,
            instance_name: printable(&claim.name),
            software: printable(&claim.software),
            rehearsal: claim.rehearsal,
            state: ClaimState::Proving,
            reason: None,
            created_at: tx.now(),
        };
        match tx.insert_claim(&row).await {
            Ok(()) => {}
            // Another request with the same key was faster: its proof answers for this one too.
            Err(StoreError::Duplicate(_)) => {
                return Ok(ClaimAnswer::Proving { retry_after_ms: RETRY_AFTER_MS });
            }
            Err(error) => return Err(error.into()),
        }
        tx.enqueue(NewJob { work: Work::ProveClaim(row.id), run_at: tx.now(), sealed: None }).await?;
        tx.audit(
            "claim.receive",
            "REGISTRATION",
            registration.id,
            "OK",
            json!({ "rehearsal": claim.rehearsal }),
        );
        tx.commit().await?;
        Ok(ClaimAnswer::Proving { retry_after_ms: RETRY_AFTER_MS })
    }

    /// What a claim redeems; none without the right secret.
    async fn redeemed(&self, tx: &Tx, claim: &wire::Claim) -> Done<Option<Redeemed>> {
        let given = digest(&claim.t.0);
        let matches = |kept: &[u8; 32]| same(kept, &given);
        if let Some(registration) = tx.registration_by_link(LinkId(claim.r)).await?
            && registration.state.link().is_some_and(|link| matches(&link.digest))
        {
            return Ok(Some(Redeemed::Link(Box::new(registration))));
        }
        let spent = tx.spent_link(LinkId(claim.r)).await?.filter(|spent| matches(&spent.digest));
        Ok(spent.map(|spent| Redeemed::Spent(spent.registration, spent.reason)))
    }

    /// The registration behind a claim, whatever its state, if the secret is right and the link not from before.
    async fn claimed_registration(&self, tx: &Tx, claim: &wire::Claim) -> Done<Registration> {
        match self.redeemed(tx, claim).await? {
            Some(Redeemed::Link(registration)) => Ok(*registration),
            Some(Redeemed::Spent(_, reason)) => {
                let message = match reason.as_str() {
                    "EXPIRED" => "The link's time is over.",
                    "CANCELLED" => "The provider cancelled this registration.",
                    "USED" => "The link was used already.",
                    _ => "The provider made a newer link, which makes this one void.",
                };
                Err(Refusal::new(RefusalCode::NoMatchingRegistration, message).reason(reason).into())
            }
            // One answer for an unknown link and a wrong secret.
            None => Err(invalid("UNKNOWN")),
        }
    }

    fn verify_claim(&self, registration: &Registration, claim: &wire::Claim, public: &PublicKey) -> Done<()> {
        let provider = self.profile.origin.to_string();
        let parts = claim_parts(claim, &provider, &self.keys.fingerprint());
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        verify(public, "kx1 claim", &parts, &claim.proof.0).map_err(|_| invalid("PROOF"))?;
        let origin = Origin::parse(&claim.origin, &OriginPolicy::ANY).map_err(|_| invalid("ORIGIN"))?;
        if origin != registration.origin {
            return Err(Refusal::new(
                RefusalCode::NoMatchingRegistration,
                format!("The link was made for {}, and this is {origin}.", registration.origin),
            )
            .reason("URL")
            .into());
        }
        if InstanceId(claim.instance_id) == self.profile.instance {
            return Err(invalid("SELF"));
        }
        Ok(())
    }

    /// The answer that is known already for a claim with this key.
    fn known_answer(&self, latest: &Claim) -> Option<ClaimAnswer> {
        let recent = self.world.now() - latest.created_at < ANSWER_LASTS;
        match latest.state {
            ClaimState::Proving => Some(ClaimAnswer::Proving { retry_after_ms: RETRY_AFTER_MS }),
            ClaimState::Bound => Some(ClaimAnswer::Accepted { claim_id: Some(latest.id.0) }),
            ClaimState::Proven if recent => Some(ClaimAnswer::Accepted { claim_id: None }),
            ClaimState::Refused if recent => {
                Some(ClaimAnswer::NotProven { reason: latest.reason.clone().unwrap_or_default() })
            }
            ClaimState::Proven | ClaimState::Refused | ClaimState::Contested => None,
        }
    }

    /// What to ask the origin of a claim; none when the claim was settled meanwhile.
    pub(crate) async fn proof_plan(&self, call: &Call, id: ClaimId) -> Done<Option<ProofPlan>> {
        let tx = self.begin_reading("claim.read", call).await?;
        let Some(claim) = tx.claim(id).await?.filter(|claim| claim.state == ClaimState::Proving) else {
            return Ok(None);
        };
        let question = wire::Prove { r: claim.link.0, challenge: Bytes(self.world.bytes()?) };
        Ok(Some(ProofPlan { origin: claim.origin, question }))
    }

    /// The origin answered, or did not; only a proof binds the link, by one conditional update.
    pub(crate) async fn claim_answered(
        &self,
        call: &Call,
        id: ClaimId,
        question: &wire::Prove,
        answer: Result<wire::Proof, Refusal>,
    ) -> Done<()> {
        let mut tx = self.begin("claim.prove", call).await?;
        let Some(claim) = tx.claim(id).await? else { return Ok(()) };
        let proven = answer.and_then(|proof| self.verify_proof(&claim, question, &proof));
        let registration = self.registration(&tx, claim.registration).await?;
        let state = match (&proven, claim.rehearsal) {
            (Err(_), _) => ClaimState::Refused,
            (Ok(()), true) => ClaimState::Proven,
            (Ok(()), false) if registration.claimable(tx.now()).is_ok() => ClaimState::Bound,
            (Ok(()), false) => ClaimState::Contested,
        };
        let refusal = proven.err();
        let reason =
            refusal.as_ref().map(|it| it.reason.clone().unwrap_or_else(|| it.code.as_str().to_owned()));
        if !tx.settle_claim(id, state, reason.clone()).await? {
            return Ok(());
        }
        if let Some(refusal) = &refusal {
            self.log_claim(&mut tx, &registration, refusal).await?;
        }
        match state {
            ClaimState::Bound => self.bind(&mut tx, call, registration, &claim).await?,
            ClaimState::Contested => self.contest(&mut tx, call, registration, &claim).await?,
            ClaimState::Refused | ClaimState::Proven | ClaimState::Proving => {}
        }
        let details = json!({ "claim": id.to_string(), "reason": reason });
        tx.audit("claim.prove", "REGISTRATION", claim.registration, state.as_str(), details);
        tx.commit().await?;
        Ok(())
    }

    fn verify_proof(
        &self,
        claim: &Claim,
        question: &wire::Prove,
        proof: &wire::Proof,
    ) -> Result<(), Refusal> {
        let wrong = |reason: &str| {
            let message =
                "The instance at the registered URL could not prove that it holds the key of the claim.";
            Refusal::new(RefusalCode::PeerIdentityMismatch, message).reason(reason)
        };
        let public = PublicKey::parse(&claim.public_key).map_err(|_| wrong("WEAK_KEY"))?;
        let origin = claim.origin.to_string();
        let kid = self.keys.public_key().kid();
        let parts: [&[u8]; 4] = [question.r.as_bytes(), &question.challenge.0, &kid.0, origin.as_bytes()];
        verify(&public, "kx1 prove", &parts, &proof.proof.0).map_err(|_| wrong("PROOF"))
    }

    /// The link is bound: the provider's connection and its copy of the attempt come into being.
    async fn bind(&self, tx: &mut Tx, call: &Call, registration: Registration, claim: &Claim) -> Done<()> {
        let (now, id) = (tx.now(), ConnectionId(tx.uuid()?));
        let public = PublicKey::parse(&claim.public_key)?;
        let mut attempt = Attempt::begin(AttemptId(tx.uuid()?), id, 1, None, now);
        attempt.tried(PhaseName::Claim, Outcome::Done, now);
        let connection = Connection {
            id,
            part: Part::Provider,
            company: Some(registration.company),
            registration: Some(registration.id),
            link: claim.link,
            peer: Peer {
                origin: claim.origin.clone(),
                fingerprint: public.fingerprint(),
                instance: Some(claim.instance),
                public_key: Some(claim.public_key),
                name: Some(claim.instance_name.clone()),
                version: Some(claim.software.clone()),
                identity_seq: 0,
            },
            created_at: now,
            updated_at: now,
            revision: 1,
            attempts: 1,
            channel: None,
            agreements: 0,
            survivor: None,
            state: ConnectionState::Onboarding { attempt: attempt.id },
        };
        tx.insert_connection(&connection, None).await?;
        tx.insert_attempt(&attempt, connection.company).await?;
        tx.enqueue(NewJob {
            work: Work::ExpireAttempt(attempt.id),
            run_at: now + ATTEMPT_LASTS,
            sealed: None,
        })
        .await?;
        let before = registration.clone();
        let next = registration.claimed(id, now)?;
        self.settle(tx, call, &before, crate::domain::effect::Step::quiet(next)).await?;
        Ok(())
    }

    /// Another key proved a link that is bound: nobody goes on with it.
    async fn contest(&self, tx: &mut Tx, call: &Call, registration: Registration, claim: &Claim) -> Done<()> {
        let bound = tx.bound_claim(registration.id).await?;
        if bound.is_none_or(|bound| bound.public_key == claim.public_key) {
            return Ok(());
        }
        let before = registration.clone();
        let step = registration.contested(tx.now());
        if step.next != before {
            tx.audit(
                "registration.contested",
                "REGISTRATION",
                before.id,
                "ALERT",
                json!({ "origin": claim.origin.to_string() }),
            );
            self.settle(tx, call, &before, step).await?;
        }
        Ok(())
    }

    /// The consumer's claim to the link of one of its connections. A rehearsal asks only what would happen.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such connection.
    pub async fn make_claim(&self, call: &Call, id: ConnectionId, rehearsal: bool) -> Done<wire::Claim> {
        let tx = self.begin_reading("claim.make", call).await?;
        let connection = tx.connection(id).await?.ok_or_else(|| Refusal::not_found("connection"))?;
        let sealed = tx.link_secret(id).await?.ok_or(Failure::Bug("link secret"))?;
        let secret = self.keys.onboarding().open("link secret", &id.bytes(), &sealed, tx.now()).await?;
        let (profile, public) = (&self.profile, self.keys.public_key());
        let mut claim = wire::Claim {
            r: connection.link.0,
            t: Bytes(secret.try_into().map_err(|_| Failure::Bug("link secret"))?),
            instance_id: profile.instance.0,
            origin: profile.origin.to_string(),
            pk: Bytes(*public.as_bytes()),
            n_c: Bytes(self.world.bytes()?),
            proof: Bytes([0; 64]),
            name: profile.name.clone(),
            software: super::SOFTWARE.to_owned(),
            rehearsal,
        };
        let parts = claim_parts(&claim, &connection.peer.origin.to_string(), &connection.peer.fingerprint);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let proof = self.keys.onboarding().sign("kx1 claim", &parts, tx.now()).await?;
        claim.proof = Bytes(proof.try_into().map_err(|_| Failure::Bug("signature length"))?);
        Ok(claim)
    }

    /// Answers a provider that asks whether we hold the key we claimed with. Only for links that an administrator
    /// here opened.
    ///
    /// # Errors
    /// `NO_MATCHING_REGISTRATION`.
    pub async fn prove(&self, call: &Call, question: &wire::Prove) -> Done<wire::Proof> {
        let tx = self.begin_reading("claim.answer", call).await?;
        let connection = tx.connection_by_link(LinkId(question.r)).await?;
        let open = connection.filter(|connection| {
            matches!(
                connection.state,
                ConnectionState::AwaitingValidation { .. }
                    | ConnectionState::Onboarding { .. }
                    | ConnectionState::ValidationFailed { .. }
                    | ConnectionState::Validated { .. }
            )
        });
        let Some(connection) = open else {
            let message = "No administrator of this instance opened that link.";
            return Err(Refusal::new(RefusalCode::NoMatchingRegistration, message)
                .reason("NOT_OPENED")
                .into());
        };
        let origin = self.profile.origin.to_string();
        let kid = &connection.peer.fingerprint[..20];
        let parts: [&[u8]; 4] = [question.r.as_bytes(), &question.challenge.0, kid, origin.as_bytes()];
        let proof = self.keys.onboarding().sign("kx1 prove", &parts, tx.now()).await?;
        Ok(wire::Proof { proof: Bytes(proof.try_into().map_err(|_| Failure::Bug("signature length"))?) })
    }

    /// The other side calls its attempt off. Said twice, it changes nothing.
    ///
    /// # Errors
    /// `LINK_INVALID` when the signature does not hold.
    pub async fn receive_abandon(&self, call: &Call, abandon: &wire::Abandon) -> Done<()> {
        let mut tx = self.begin("attempt.abandoned", call).await?;
        let Some(claim) = tx.claim(ClaimId(abandon.claim_id)).await? else { return Ok(()) };
        let public = PublicKey::parse(&claim.public_key)?;
        let parts: [&[u8]; 3] =
            [abandon.r.as_bytes(), abandon.instance_id.as_bytes(), abandon.claim_id.as_bytes()];
        verify(&public, "kx1 abandon", &parts, &abandon.proof.0).map_err(|_| invalid("PROOF"))?;
        let registration = self.registration(&tx, claim.registration).await?;
        let bound = claim.state == ClaimState::Bound;
        if let (State::WorkInProgress { connection, .. }, true) = (&registration.state, bound) {
            let (before, connection) = (registration.clone(), *connection);
            tx.delete_claims(before.id).await?;
            let step = registration.abandoned(connection, "The consumer called the attempt off.", tx.now());
            self.settle(&mut tx, call, &before, step).await?;
            tx.audit("attempt.abandoned", "REGISTRATION", before.id, "OK", json!({}));
            tx.commit().await?;
        }
        Ok(())
    }

    /// An attempt on the provider took too long: the link is open again.
    pub(crate) async fn expire_attempt(&self, call: &Call, id: AttemptId) -> Done<()> {
        let mut tx = self.begin("attempt.expire", call).await?;
        let Some((attempt, ..)) = tx.attempt(id).await? else { return Ok(()) };
        let Some(connection) = tx.connection(attempt.connection).await? else { return Ok(()) };
        let Some(registration) = connection.registration else { return Ok(()) };
        let registration = self.registration(&tx, registration).await?;
        let before = registration.clone();
        let step = registration.abandoned(connection.id, "Onboarding took longer than it may.", tx.now());
        if step.next != before {
            self.settle(&mut tx, call, &before, step).await?;
            tx.audit("attempt.expire", "REGISTRATION", before.id, "OK", json!({}));
            tx.commit().await?;
        }
        Ok(())
    }
}

/// What a claim's proof of possession covers (KX/1 phase 0, step 3).
fn claim_parts(claim: &wire::Claim, provider: &str, fingerprint: &[u8; 32]) -> Vec<Vec<u8>> {
    vec![
        claim.r.as_bytes().to_vec(),
        digest(&claim.t.0).to_vec(),
        provider.as_bytes().to_vec(),
        fingerprint.to_vec(),
        claim.origin.as_bytes().to_vec(),
        claim.instance_id.as_bytes().to_vec(),
        claim.pk.0.to_vec(),
        claim.n_c.0.to_vec(),
    ]
}

fn invalid(reason: &str) -> Failure {
    Refusal::new(RefusalCode::LinkInvalid, "This is not a link of ours, or it is damaged.")
        .reason(reason)
        .into()
}
