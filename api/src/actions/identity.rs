//! Who we say we are, and whom we believe.

use chrono::TimeDelta;
use keyservice::{PublicKey, verify};

use super::{Actions, Call, Done, PROTOCOL_VERSIONS, SOFTWARE};
use crate::domain::Timestamp;
use crate::domain::id::{ConnectionId, InstanceId};
use crate::domain::refusal::{Refusal, RefusalCode};
use crate::peer::wire::{Blob, Bytes, Identity, IdentityKey, SignedIdentity};

const LABEL: &str = "kx1 identity document";
/// The largest identity document, in bytes.
const DOCUMENT_LIMIT: usize = 16 * 1024;
/// How long an identity document is good, whatever it says.
const DOCUMENT_LASTS: TimeDelta = TimeDelta::days(7);

/// A peer's identity document whose signature holds.
#[derive(Clone, Debug)]
pub struct VerifiedIdentity {
    /// What it says.
    pub identity: Identity,
    /// The key that signed it.
    pub public_key: [u8; 32],
    /// That key's fingerprint.
    pub fingerprint: [u8; 32],
}

impl Actions {
    /// Gives the identity document a higher number, at each start: what it says changes with the configuration and the
    /// version. Not below the time in seconds, so that it grows beyond what peers saw also after a backup was restored.
    ///
    /// # Errors
    /// When the database refuses.
    pub async fn renumber_identity(&self, call: &Call) -> Done<()> {
        let mut tx = self.begin_keyless("identity.renumber", call).await?;
        tx.raise_identity_seq(tx.now().timestamp()).await?;
        tx.commit().await?;
        Ok(())
    }

    /// This instance's identity document, signed now.
    ///
    /// # Errors
    /// When the key service refuses.
    pub async fn identity(&self) -> Done<SignedIdentity> {
        let (now, profile) = (self.world.now(), &self.profile);
        let record = self.store.instance().await?;
        let identity = Identity {
            instance_id: profile.instance.0,
            origin: profile.origin.to_string(),
            issuer: profile.origin.to_string(),
            name: profile.name.clone(),
            software: SOFTWARE.to_owned(),
            keys: vec![IdentityKey {
                kid: self.keys.public_key().kid().to_string(),
                alg: "EdDSA".to_owned(),
                pk: Bytes(*self.keys.public_key().as_bytes()),
                state: "active".to_owned(),
            }],
            seq: record.map_or(1, |record| record.identity_seq),
            refresh_hint: 3_600,
            signed_at: now.timestamp_millis(),
            versions: PROTOCOL_VERSIONS.to_vec(),
            suites: vec![keyservice::exchange::SUITE_1],
        };
        let document = serde_json::to_vec(&identity).map_err(|_| super::Failure::Bug("identity document"))?;
        let signature = self.keys.onboarding().sign(LABEL, &[&document], now).await?;
        let signature = signature.try_into().map_err(|_| super::Failure::Bug("signature length"))?;
        Ok(SignedIdentity { document: Blob(document), signature: Bytes(signature) })
    }

    /// Reads a peer's identity document: the active key must have signed it, and its origin must be the one asked.
    ///
    /// # Errors
    /// `PEER_IDENTITY_MISMATCH` with what does not hold in `reason`.
    pub fn verify_identity(
        &self,
        signed: &SignedIdentity,
        origin: &str,
    ) -> Result<VerifiedIdentity, Refusal> {
        let wrong = |reason: &str| {
            let message = "The other instance's identity document does not hold.";
            Refusal::new(RefusalCode::PeerIdentityMismatch, message).reason(reason)
        };
        if signed.document.0.len() > DOCUMENT_LIMIT {
            return Err(wrong("SIZE"));
        }
        let identity: Identity = serde_json::from_slice(&signed.document.0).map_err(|_| wrong("DOCUMENT"))?;
        let mut active = identity.keys.iter().filter(|key| key.state == "active" && key.alg == "EdDSA");
        let (Some(key), None) = (active.next(), active.next()) else { return Err(wrong("KEYS")) };
        let public = PublicKey::parse(&key.pk.0).map_err(|_| wrong("WEAK_KEY"))?;
        if public.kid().to_string() != key.kid {
            return Err(wrong("KEY_ID"));
        }
        verify(&public, LABEL, &[&signed.document.0], &signed.signature.0).map_err(|_| wrong("SIGNATURE"))?;
        if identity.origin != origin || identity.issuer != origin {
            return Err(wrong("ORIGIN"));
        }
        if self.world.now().timestamp_millis().saturating_sub(identity.signed_at)
            > DOCUMENT_LASTS.num_milliseconds()
        {
            return Err(wrong("EXPIRED"));
        }
        let (public_key, fingerprint) = (*public.as_bytes(), public.fingerprint());
        Ok(VerifiedIdentity { identity, public_key, fingerprint })
    }

    /// Notes what a verified identity document says about the peer of a connection.
    ///
    /// # Errors
    /// `PEER_IDENTITY_MISMATCH` when the key is not the one the link pins, it is this very instance, or a newer document of
    /// it was seen.
    pub(crate) async fn learn_peer(
        &self,
        call: &Call,
        id: ConnectionId,
        peer: &VerifiedIdentity,
    ) -> Done<()> {
        let mut tx = self.begin("peer.learn", call).await?;
        let Some(mut connection) = tx.connection(id).await? else { return Ok(()) };
        if connection.peer.fingerprint != peer.fingerprint {
            return Err(Refusal::new(
                RefusalCode::PeerIdentityMismatch,
                "The other instance's key is not the one that the link names.",
            )
            .reason("FINGERPRINT")
            .into());
        }
        if peer.identity.seq < connection.peer.identity_seq {
            let message = "The other instance's identity document is older than one that was seen before.";
            return Err(Refusal::new(RefusalCode::PeerIdentityMismatch, message).reason("SEQ").into());
        }
        let before = connection.peer.clone();
        connection.peer.identity_seq = peer.identity.seq;
        connection.peer.instance = Some(InstanceId(peer.identity.instance_id));
        connection.peer.public_key = Some(peer.public_key);
        connection.peer.name = Some(printable(&peer.identity.name));
        connection.peer.version = Some(printable(&peer.identity.software));
        if connection.peer != before {
            tx.save_connection(connection).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Now, as the instance sees it.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.world.now()
    }
}

/// A peer's name, as one printable line of at most 64 characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !crate::domain::person::is_unprintable(*c)).take(64).collect()
}
