//! Every call of the service, in one table, and what turns a call into bytes and back.
//!
//! The table is a macro that hands its rows to another macro: here they become the requests as bytes and the dispatch
//! on the service's side, in a gateway the functions that ask. A new operation of [`KeyService`] is one line.

use zeroize::Zeroizing;

use crate::approval::Agreed;
use crate::error::Error;
use crate::health::HealthReport;
use crate::key::SealedKey;
use crate::module::SealedModule;
use crate::policy::Context;
use crate::ports::Millis;
use crate::principal::Principal;
use crate::service::KeyService;
use crate::usage::Use;
use crate::wire::{Reader, Wire, Words, Writer};

/// Hands every call to `$callback!`, as `number name(argument: kind, …) -> answer;`.
///
/// The name is that of the function of [`KeyService`]. How an argument is passed is its kind: `one<T>` is `&T`,
/// `copy<T>` is `T`, `many<T>` is `&[T]`, `bytes` is `&[u8]`, `text` is `&str`, `parts` is `&[&[u8]]`, `using` is
/// [`&Use`](crate::Use).
#[macro_export]
macro_rules! key_service_calls {
    ($callback:ident) => {
        $callback! {
            1 generate(spec: one<$crate::KeySpec>, now: copy<$crate::Millis>) -> $crate::SealedKey;
            2 retire(key: one<$crate::SealedKey>, now: copy<$crate::Millis>) -> $crate::SealedKey;
            3 sign(
                key: one<$crate::SealedKey>, label: text, signed: parts, now: copy<$crate::Millis>
            ) -> Vec<u8>;
            4 sign_jws(key: one<$crate::SealedKey>, input: bytes, now: copy<$crate::Millis>) -> Vec<u8>;
            5 seal(
                key: one<$crate::SealedKey>, aad: parts, plaintext: bytes, now: copy<$crate::Millis>
            ) -> Vec<u8>;
            6 open_sealed(
                key: one<$crate::SealedKey>, aad: parts, ciphertext: bytes, now: copy<$crate::Millis>
            ) -> Vec<u8>;
            7 mac(purpose: copy<$crate::MacPurpose>, input: parts) -> [u8; 32];
            8 report(
                modules: many<$crate::SealedModule>, keys: many<$crate::SealedKey>,
                audit: copy<Option<$crate::AuditMeasure>>, now: copy<$crate::Millis>
            ) -> $crate::HealthReport;
            9 seal_message(
                key: one<$crate::SealedKey>, header: one<$crate::EnvelopeHeader>, plaintext: bytes,
                now: copy<$crate::Millis>
            ) -> $crate::Envelope;
            10 open_message(
                key: one<$crate::SealedKey>, envelope: one<$crate::Envelope>, now: copy<$crate::Millis>
            ) -> Vec<u8>;
            11 initiate(
                identity: one<$crate::SealedKey>, context: one<$crate::RegistrationContext>,
                attempt: copy<u64>, now: copy<$crate::Millis>
            ) -> ($crate::ExchangeId, $crate::M1);
            12 abandon(exchange: copy<$crate::ExchangeId>) -> ();
            13 conclude(
                exchange: copy<$crate::ExchangeId>, identity: one<$crate::SealedKey>, m2: one<$crate::M2>,
                link: copy<$crate::LinkSpec>, now: copy<$crate::Millis>
            ) -> ($crate::M3, $crate::SealedKey, $crate::SealedPending);
            14 finish(
                pending: one<$crate::SealedPending>, key: one<$crate::SealedKey>, m4: one<$crate::M4>,
                now: copy<$crate::Millis>
            ) -> $crate::SealedKey;
            15 respond(
                identity: one<$crate::SealedKey>, context: one<$crate::RegistrationContext>,
                m1: one<$crate::M1>, floor: copy<$crate::Floor>, now: copy<$crate::Millis>
            ) -> ($crate::M2, $crate::SealedPending);
            16 confirm(
                pending: one<$crate::SealedPending>, m3: one<$crate::M3>, epoch: copy<u64>,
                link: copy<$crate::LinkSpec>, now: copy<$crate::Millis>
            ) -> ($crate::M4, $crate::SealedKey);
            17 create_module(spec: one<$crate::ModuleSpec>, now: copy<$crate::Millis>) -> $crate::SealedModule;
            18 built_in_module(
                module: copy<$crate::BuiltIn>, id: copy<[u8; 16]>, policies: copy<Vec<$crate::AccessPolicy>>,
                now: copy<$crate::Millis>
            ) -> $crate::SealedModule;
            19 change_module(
                module: one<$crate::SealedModule>, change: copy<$crate::ModuleChange>,
                now: copy<$crate::Millis>
            ) -> $crate::SealedModule;
            20 check_module(module: one<$crate::SealedModule>) -> ();
            21 authorise(using: using, operation: copy<$crate::Operation>, version: copy<Option<u64>>)
                -> $crate::UseRecord;
            22 module_seal(using: using, aad: parts, plaintext: bytes) -> $crate::Used<Vec<u8>>;
            23 module_open(using: using, aad: parts, ciphertext: bytes) -> $crate::Used<Vec<u8>>;
            24 module_sign(using: using, label: text, signed: parts) -> $crate::Used<$crate::Signature>;
            25 module_verify(using: using, label: text, signed: parts, signature: one<$crate::Signature>)
                -> $crate::Used<()>;
            26 module_mac(using: using, label: text, input: parts) -> $crate::Used<$crate::Tag>;
            27 module_verify_mac(using: using, label: text, input: parts, tag: one<$crate::Tag>)
                -> $crate::Used<()>;
            28 sign_checkpoint(
                key: one<$crate::SealedKey>, checkpoint: one<$crate::checkpoint::Checkpoint>,
                now: copy<$crate::Millis>
            ) -> $crate::checkpoint::Note;
            29 countersign(
                identity: one<$crate::SealedKey>, name: text, note: one<$crate::checkpoint::Note>,
                now: copy<$crate::Millis>
            ) -> $crate::checkpoint::NoteSignature;
            30 compare_with_audit(rows: many<$crate::SealedKey>, audited: many<$crate::LastEntry>)
                -> Vec<$crate::FaultyRow>;
            31 next_version(
                module: one<$crate::SealedModule>, versions: many<$crate::SealedKey>, id: copy<[u8; 16]>,
                now: copy<$crate::Millis>
            ) -> $crate::SealedKey;
            32 rotate(
                module: one<$crate::SealedModule>, versions: many<$crate::SealedKey>, id: copy<[u8; 16]>,
                now: copy<$crate::Millis>
            ) -> $crate::Rotation;
            33 change_key(
                module: one<$crate::SealedModule>, versions: many<$crate::SealedKey>, version: copy<u64>,
                change: one<$crate::KeyChange>, now: copy<$crate::Millis>
            ) -> $crate::SealedKey;
            34 destroy(
                module: one<$crate::SealedModule>, key: one<$crate::SealedKey>,
                agreed: one<$crate::approval::Agreed>, now: copy<$crate::Millis>
            ) -> $crate::SealedKey;
            35 key_encryption_keys() -> Vec<u32>;
            36 add_key_encryption_key() -> $crate::SealedHierarchy;
            37 rewrap(keys: many<$crate::SealedKey>) -> Vec<$crate::SealedKey>;
            38 rewrap_pending(module: text, pending: one<$crate::SealedPending>) -> $crate::SealedPending;
            39 retire_key_encryption_keys(progress: copy<$crate::RewrapProgress>) -> $crate::SealedHierarchy;
            40 adopt(hierarchy: one<$crate::SealedHierarchy>) -> ();
            41 rotate_root_to_next() -> $crate::SealedHierarchy;
            42 adopt_root(hierarchy: one<$crate::SealedHierarchy>) -> bool;
            43 offer_import(module: one<$crate::SealedModule>, now: copy<$crate::Millis>) -> $crate::ImportOffer;
            44 import(
                module: one<$crate::SealedModule>, versions: many<$crate::SealedKey>,
                arrival: one<$crate::Arrival>, agreed: one<$crate::approval::Agreed>, now: copy<$crate::Millis>
            ) -> $crate::SealedKey;
            45 export(
                module: one<$crate::SealedModule>, key: one<$crate::SealedKey>, to: one<$crate::Destination>,
                agreed: one<$crate::approval::Agreed>, now: copy<$crate::Millis>
            ) -> $crate::Package;
            56 destroy_link(key: one<$crate::SealedKey>, now: copy<$crate::Millis>) -> $crate::SealedKey;
            60 activate(
                module: one<$crate::SealedModule>, versions: many<$crate::SealedKey>, version: copy<u64>,
                now: copy<$crate::Millis>
            ) -> $crate::Rotation;
        }
    };
}

/// The type of an argument, by its kind.
#[macro_export]
macro_rules! key_service_argument {
    (one<$type:ty>) => { &$type };
    (copy<$type:ty>) => { $type };
    (many<$type:ty>) => { &[$type] };
    (bytes) => { &[u8] };
    (text) => { &str };
    (parts) => { &[&[u8]] };
    (using) => { &$crate::Use<'_> };
}

macro_rules! write_argument {
    ($out:ident, $value:ident, one<$type:ty>) => {
        <$type as Wire>::write($value, $out)
    };
    ($out:ident, $value:ident, copy<$type:ty>) => {
        <$type as Wire>::write(&$value, $out)
    };
    ($out:ident, $value:ident, many<$type:ty>) => {
        $value.iter().fold($out.u64($value.len() as u64), |out, one| one.write(out))
    };
    ($out:ident, $value:ident, bytes) => {
        $out.bytes($value)
    };
    ($out:ident, $value:ident, text) => {
        $out.bytes($value.as_bytes())
    };
    ($out:ident, $value:ident, parts) => {
        $value.iter().fold($out.u64($value.len() as u64), |out, one| out.bytes(one))
    };
    ($out:ident, $value:ident, using) => {
        OwnedUse::write($value, $out)
    };
}

macro_rules! read_argument {
    ($from:ident, one<$type:ty>) => {
        <$type as Wire>::read(&mut $from)?
    };
    ($from:ident, copy<$type:ty>) => {
        <$type as Wire>::read(&mut $from)?
    };
    ($from:ident, many<$type:ty>) => {
        <Vec<$type> as Wire>::read(&mut $from)?
    };
    ($from:ident, bytes) => {
        $from.bytes()?
    };
    ($from:ident, text) => {
        std::str::from_utf8($from.bytes()?).map_err(|_| $from.malformed())?
    };
    ($from:ident, parts) => {
        (0..$from.count()?).map(|_| $from.bytes()).collect::<Result<Vec<&[u8]>, Error>>()?
    };
    ($from:ident, using) => {
        OwnedUse::read(&mut $from)?
    };
}

macro_rules! pass_argument {
    ($value:ident, one<$type:ty>) => {
        &$value
    };
    ($value:ident, copy<$type:ty>) => {
        $value
    };
    ($value:ident, many<$type:ty>) => {
        &$value
    };
    ($value:ident, bytes) => {
        $value
    };
    ($value:ident, text) => {
        $value
    };
    ($value:ident, parts) => {
        &$value
    };
    ($value:ident, using) => {
        &$value.lend()
    };
}

/// The most room that a request sets aside before it knows what it holds, beside its bytes.
const ROOM: usize = 4_096;

macro_rules! room {
    ($value:ident, bytes) => {
        $value.len()
    };
    ($value:ident, $($other:tt)*) => {
        0
    };
}

macro_rules! requests_and_dispatch {
    ($($number:literal $name:ident($($argument:ident: $kind:ident $(<$type:ty>)?),*) -> $answer:ty;)*) => {
        /// The requests as bytes, one function a call; each takes what the function of [`KeyService`] takes.
        pub mod request {
            use super::*;

            $(
                #[doc = concat!("A request of [`KeyService::", stringify!($name), "`].")]
                pub fn $name(
                    $($argument: $crate::key_service_argument!($kind $(<$type>)?)),*
                ) -> Zeroizing<Vec<u8>> {
                    let room = ROOM $(+ room!($argument, $kind $(<$type>)?))*;
                    let out = Writer::with_capacity(room).u8($number);
                    $(let out = write_argument!(out, $argument, $kind $(<$type>)?);)*
                    out.finish()
                }
            )*
        }

        impl KeyService {
            fn dispatch(&self, request: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
                // Nothing that the gateway sends is a text of the program's own.
                let words = Words::default();
                let mut from = Reader::new(request, "request").with_words(&words);
                match from.u8()? {
                    $($number => {
                        $(let $argument = read_argument!(from, $kind $(<$type>)?);)*
                        from.finish()?;
                        let done = self.$name($(pass_argument!($argument, $kind $(<$type>)?)),*);
                        let answer: Result<$answer, Error> = done.into_answer();
                        let room = ROOM + request.len();
                        Ok(answer.write(Writer::with_capacity(room)).finish())
                    })*
                    _ => Err(Error::Malformed { what: "request" }),
                }
            }
        }

        /// The name of a request's call, for records.
        pub fn name(request: &[u8]) -> &'static str {
            match request.first() {
                $(Some($number) => stringify!($name),)*
                _ => "unknown",
            }
        }
    };
}

key_service_calls!(requests_and_dispatch);

impl KeyService {
    /// Carries out a request and answers it, both as bytes. What cannot be read is answered with
    /// [`Error::Malformed`].
    pub fn answer(&self, request: &[u8]) -> Zeroizing<Vec<u8>> {
        self.dispatch(request)
            .unwrap_or_else(|error| Err::<(), _>(error).write(Writer::with_capacity(ROOM)).finish())
    }
}

/// A [`Use`] on the service's side.
struct OwnedUse {
    principal: Principal,
    module: SealedModule,
    versions: Vec<SealedKey>,
    context: Context,
    agreed: Option<Agreed>,
    reason: Option<String>,
    now: Millis,
}

impl OwnedUse {
    fn write(using: &Use<'_>, out: Writer) -> Writer {
        let Use { principal, module, versions, context, agreed, reason, now } = using;
        let out = context.write(module.write(principal.write(out)));
        let out = versions.iter().fold(out.u64(versions.len() as u64), |out, key| key.write(out));
        let out = match agreed {
            None => out.u8(0),
            Some(agreed) => agreed.write(out.u8(1)),
        };
        now.write(reason.map(str::to_owned).write(out))
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, Error> {
        let (principal, module, context) = Wire::read(from)?;
        let (versions, agreed) = Wire::read(from)?;
        let (reason, now) = Wire::read(from)?;
        Ok(Self { principal, module, versions, context, agreed, reason, now })
    }

    fn lend(&self) -> Use<'_> {
        Use {
            principal: &self.principal,
            module: &self.module,
            versions: &self.versions,
            context: &self.context,
            agreed: self.agreed.as_ref(),
            reason: self.reason.as_deref(),
            now: self.now,
        }
    }
}

/// What a function of the service answers, as a result that can cross.
pub trait IntoAnswer<T> {
    /// The result.
    ///
    /// # Errors
    /// Those of the function.
    fn into_answer(self) -> Result<T, Error>;
}

impl<T> IntoAnswer<T> for Result<T, Error> {
    fn into_answer(self) -> Result<T, Error> {
        self
    }
}

impl IntoAnswer<()> for () {
    fn into_answer(self) -> Result<(), Error> {
        Ok(self)
    }
}

impl IntoAnswer<HealthReport> for HealthReport {
    fn into_answer(self) -> Result<HealthReport, Error> {
        Ok(self)
    }
}

impl IntoAnswer<Self> for Vec<u32> {
    fn into_answer(self) -> Result<Self, Error> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
