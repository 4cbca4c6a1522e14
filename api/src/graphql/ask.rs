//! What a resolver knows of the request it serves.

use async_graphql::{Context, Error, InputType, Result};

use super::error;
use super::load::Loaders;
use super::refusal::Refusal;
use crate::actions::once::{Answer, Asked};
use crate::actions::{Actions, Call, Done, Failure};
use crate::domain::id::UserId;
use crate::domain::refusal as domain;
use crate::domain::requester::{Person, Requester};
use crate::store::Reader;

/// The most characters of an idempotency key.
const KEY_MAX_CHARS: usize = 255;

/// The request: who asks, and what answers.
#[derive(Clone, Copy)]
pub(super) struct Ask<'a> {
    /// The verbs.
    pub(super) actions: &'a Actions,
    /// Who asks.
    pub(super) call: &'a Call,
    /// What loads many things at once.
    pub(super) load: &'a Loaders,
    /// The field that is being answered, by its name in the schema.
    field: &'a str,
}

impl<'a> Ask<'a> {
    /// The request, whoever it is from.
    pub(super) fn anyone(ctx: &Context<'a>) -> Result<Self> {
        Ok(Self {
            actions: ctx.data()?,
            call: ctx.data()?,
            load: ctx.data()?,
            field: ctx.item.node.name.node.as_str(),
        })
    }

    /// A request that outlives the field that it began with.
    pub(super) const fn outside(actions: &'a Actions, call: &'a Call, load: &'a Loaders) -> Self {
        Self { actions, call, load, field: "" }
    }

    /// The request of somebody who signed in.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`.
    pub(super) fn new(ctx: &Context<'a>) -> Result<Self> {
        let ask = Self::anyone(ctx)?;
        match ask.call.requester {
            Requester::Anonymous | Requester::Peer(_) => Err(error::unauthenticated()),
            Requester::Person(_) | Requester::System => Ok(ask),
        }
    }

    /// What the requester may read.
    pub(super) fn reader(&self) -> &'a Reader {
        self.load.reader()
    }

    /// The person who asks.
    pub(super) fn person(&self) -> Option<&'a Person> {
        self.call.requester.person()
    }

    /// Whether this account of ours may be seen: it is the requester's own, or somebody asks who sees all of them.
    pub(super) fn sees_user(&self, user: UserId) -> bool {
        self.call.requester.sees_people().is_ok() || self.person().is_some_and(|person| person.user == user)
    }

    /// Carries a mutation out, once for each idempotency key of its caller, and answers the noun or the refusal. The
    /// verb acts under the call that it is given.
    ///
    /// # Errors
    /// When we are at fault.
    pub(super) async fn once<I: Keyed, T: Answer, F: Future<Output = Done<T>> + Send>(
        &self,
        input: I,
        verb: impl FnOnce(Call, I) -> F + Send,
    ) -> Result<(Option<T>, Option<Refusal>)> {
        // On the heap, both: in the type of the schema each mutation's future is as large as the largest of all, at every
        // level between the document and the verb, and a thread's stack has to hold them.
        let verb = |call, input| Box::pin(verb(call, input));
        let done = Box::pin(async {
            let Some(key) = input.idempotency_key().map(str::to_owned) else {
                return verb(self.call.clone(), input).await;
            };
            check_key(&key)?;
            let text = serde_json::to_string(&input.to_value()).map_err(|_| Failure::Bug("input as JSON"))?;
            let asked = Asked { key: &key, operation: self.field, input: text.into() };
            self.actions.once(self.call, Some(asked), |call| verb(call, input)).await
        });
        self.settle(done.await)
    }

    /// What a mutation answers: the noun or the refusal.
    ///
    /// # Errors
    /// When we are at fault.
    pub(super) fn settle<T>(&self, done: Done<T>) -> Result<(Option<T>, Option<Refusal>)> {
        match done {
            Ok(noun) => Ok((Some(noun), None)),
            Err(Failure::Refused(refusal)) => {
                let (operation, code, reason) =
                    (self.field, refusal.code.as_str(), refusal.reason.as_deref());
                tracing::info!(operation, code, reason, trace_id = %self.call.trace, "refused");
                Ok((None, Some(Refusal::new(self, *refusal))))
            }
            Err(failure) => Err(error::internal(&failure)),
        }
    }
}

/// The input of a mutation.
pub(super) trait Keyed: InputType + Send {
    /// The caller's key for it.
    fn idempotency_key(&self) -> Option<&str>;
}

fn check_key(key: &str) -> Done<()> {
    if key.is_empty() || key.chars().count() > KEY_MAX_CHARS {
        let message = "An idempotency key has 1 to 255 characters.";
        return Err(domain::Refusal::invalid("idempotencyKey", message).into());
    }
    Ok(())
}

/// Checks the key of a mutation that is safe to repeat as it is: its state says whether it was done.
pub(super) fn check<I: Keyed>(input: &I) -> Done<()> {
    input.idempotency_key().map_or(Ok(()), check_key)
}

/// The id in a mutation's input.
///
/// # Errors
/// `NOT_FOUND`, the same as for an id that names nothing.
pub(super) fn named<T: From<uuid::Uuid>>(kind: super::id::Kind, field: &str, id: &str) -> Done<T> {
    let id = kind.read(id).ok_or_else(|| domain::Refusal::not_found(kind.label()).field(field))?;
    Ok(T::from(id))
}

/// The id of an account in a mutation's input: a contact's or a user's.
///
/// # Errors
/// As [`named`].
pub(super) fn account(field: &str, id: &str) -> Done<UserId> {
    use super::id::Kind;
    Kind::Contact
        .read(id)
        .or_else(|| Kind::User.read(id))
        .map(UserId)
        .ok_or_else(|| domain::Refusal::not_found("account").field(field).into())
}

/// For `map_err`: what goes wrong with memory is our fault.
pub(super) fn ours(problem: impl std::borrow::Borrow<crate::store::StoreError>) -> Error {
    error::store(problem.borrow())
}

/// Defines a mutation's input: its fields and the idempotency key.
macro_rules! input {
    ($(#[$meta:meta])* $name:ident { $($(#[$fmeta:meta])* $vis:vis $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(async_graphql::InputObject)]
        pub(super) struct $name {
            $($(#[$fmeta])* $vis $field: $type,)*
            /// Your key for this request, 1 to 255 characters. For seven days the same key with the same input does
            /// nothing again and answers as the first time; with other input it is refused with
            /// `IDEMPOTENCY_CONFLICT`. A request that was refused can be repeated under its key.
            idempotency_key: Option<String>,
        }

        impl super::ask::Keyed for $name {
            fn idempotency_key(&self) -> Option<&str> {
                self.idempotency_key.as_deref()
            }
        }
    };
}

/// Defines inputs of mutations that name one thing, and nothing else: the field first, then each input.
macro_rules! inputs_of {
    (#[$fmeta:meta] $field:ident; $($(#[$meta:meta])* $name:ident;)+) => {$(
        input! {
            $(#[$meta])*
            $name {
                #[$fmeta]
                $field: ID,
            }
        }
    )+};
}

/// Defines a mutation's payload: the noun or the refusal.
macro_rules! payload {
    ($(#[$meta:meta])* $name:ident { $(#[$fmeta:meta])* $noun:ident: $type:ty }) => {
        $(#[$meta])*
        #[derive(async_graphql::SimpleObject)]
        pub(super) struct $name {
            $(#[$fmeta])*
            $noun: Option<$type>,
            /// Why it was not done; null when it was.
            refusal: Option<super::refusal::Refusal>,
        }

        impl $name {
            pub(super) fn new<T>(
                (noun, refusal): (Option<T>, Option<super::refusal::Refusal>),
                make: impl FnOnce(T) -> $type,
            ) -> Self {
                Self { $noun: noun.map(make), refusal }
            }
        }
    };
}
