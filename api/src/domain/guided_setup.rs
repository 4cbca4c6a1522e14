//! The guided set-up: an ordered checklist for each side. What is done is seen from the facts; that it is *complete* a
//! person says.

use std::collections::BTreeMap;

use super::Timestamp;
use super::connection::Part;
use super::id::{ConnectionId, UserId};
use super::refusal::{Refusal, RefusalCode};

/// The most characters of a reason.
pub const REASON_LIMIT: usize = 500;

words! {
    /// An activity of the guided set-up.
    ActivityName {
        /// Provider: say that this instance offers a service.
        ProviderRecord = "PROVIDER_RECORD", "Create the provider record";
        /// Provider: enter the consumer's company, and the person there.
        Contact = "COMPANY_AND_CONTACT", "Enter a company and its contact";
        /// Provider: publish what consumers can use.
        Publish = "PUBLISH_DEFINITIONS", "Publish definitions";
        /// Provider: register the consumer's instance.
        Register = "REGISTER_CONSUMER", "Register a consumer";
        /// Consumer: open the link that the provider sent.
        OpenLink = "OPEN_LINK", "Open the registration link";
        /// Both: onboard.
        Connect = "CONNECT", "Connect";
        /// Consumer: choose what to take.
        Configure = "CONFIGURE_SETTINGS", "Configure settings";
        /// Both: send real messages both ways, and compare what both sides hold.
        Verify = "VERIFY_CONNECTION", "Verify the connection";
    }
}

words! {
    /// Where an activity stands.
    ActivityState {
        /// Another activity comes first.
        Locked = "LOCKED", "Locked";
        /// It can be begun.
        Available = "AVAILABLE", "Available";
        /// It was begun, or is done and not yet marked complete.
        InProgress = "IN_PROGRESS", "In progress";
        /// A person marked it complete.
        Completed = "COMPLETED", "Completed";
    }
}

/// What is true of this instance, as far as the activities ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether there is a provider record.
    pub provider_record: bool,
    /// Companies.
    pub companies: i64,
    /// Active contacts of other companies.
    pub contacts: i64,
    /// Definitions that are published.
    pub definitions: i64,
    /// Registrations that were not cancelled.
    pub registrations: i64,
    /// Connections of this side, in whatever state.
    pub connections: i64,
    /// The newest of them that does not stand yet; the newest of all where each does.
    pub to_connect: Option<ConnectionId>,
    /// The newest that stands and whose settings nobody chose; the newest that stands where all are chosen.
    pub to_configure: Option<ConnectionId>,
    /// The newest that stands and was not verified successfully; the newest that stands where all were.
    pub to_verify: Option<ConnectionId>,
    /// Connections of this side that stand.
    pub onboarded: i64,
    /// Connections of this side whose settings the consumer chose.
    pub configured: i64,
    /// Connections of this side that were verified, successfully or not.
    pub verifications: i64,
    /// Connections of this side that stand and whose latest verification passed.
    pub verified: i64,
}

/// That a person said an activity is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Who.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// Why, where the activity's own verification did not hold.
    pub override_reason: Option<String>,
}

/// An activity as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Which one.
    pub name: ActivityName,
    /// Where it stands.
    pub state: ActivityState,
    /// The activities that must be completed first, and are not.
    pub locked_by: Vec<ActivityName>,
    /// What is missing for its own verification to hold; none when it holds.
    pub missing: Option<&'static str>,
    /// That it was completed.
    pub mark: Option<Mark>,
}

impl ActivityName {
    /// The activities of a side, in order.
    #[must_use]
    pub const fn of(side: Part) -> &'static [Self] {
        match side {
            Part::Provider => &[
                Self::ProviderRecord,
                Self::Contact,
                Self::Publish,
                Self::Register,
                Self::Connect,
                Self::Verify,
            ],
            Part::Consumer => &[Self::OpenLink, Self::Connect, Self::Configure, Self::Verify],
        }
    }

    /// The activities that must be completed before this one can be begun.
    #[must_use]
    pub const fn after(self, side: Part) -> &'static [Self] {
        match (self, side) {
            (Self::ProviderRecord | Self::Contact | Self::OpenLink, _) => &[],
            (Self::Publish, _) => &[Self::ProviderRecord],
            (Self::Register, _) => &[Self::ProviderRecord, Self::Contact],
            (Self::Connect, Part::Provider) => &[Self::Register],
            (Self::Connect, Part::Consumer) => &[Self::OpenLink],
            (Self::Configure | Self::Verify, _) => &[Self::Connect],
        }
    }

    /// What to do, for people.
    #[must_use]
    pub const fn instructions(self, side: Part) -> &'static str {
        match (self, side) {
            (Self::ProviderRecord, _) => "Name the service that this instance offers to other organisations.",
            (Self::Contact, _) => {
                "Enter the consumer's company, and the person there who will approve the connection."
            }
            (Self::Publish, _) => {
                "Publish the record producers and task definitions that consumers can use. They reach every \
                 consumer by themselves."
            }
            (Self::Register, _) => {
                "Register the consumer's instance with its URL, company and contact. The checks run by themselves; \
                 when they pass, the link goes to the contact."
            }
            (Self::OpenLink, _) => {
                "Open the registration link that the provider sent you, signed in here as an administrator."
            }
            (Self::Connect, Part::Provider) => {
                "Wait until the consumer has opened the link and onboarding is complete on both sides."
            }
            (Self::Connect, Part::Consumer) => {
                "Select the provider company, get started, and start the registration when the checks have passed."
            }
            (Self::Configure, _) => {
                "Choose which record producers and task definitions are active, and whether later ones become active \
                 by themselves. Choose Done, even if nothing is to be changed."
            }
            (Self::Verify, _) => {
                "Verify the connection: sealed messages go both ways, and both sides compare keys, settings and \
                 versions."
            }
        }
    }

    /// Where in the console it is done, as a path; `connection` is the global id of the connection it is about.
    #[must_use]
    pub fn path(self, connection: Option<&str>) -> String {
        let page = match self {
            Self::ProviderRecord | Self::Publish => "/provider",
            Self::Contact => "/companies",
            Self::Register => "/registrations/new",
            Self::OpenLink => "/connect",
            Self::Connect | Self::Configure | Self::Verify => {
                let Some(connection) = connection else { return "/connections".to_owned() };
                let page = if self == Self::Configure { "/settings" } else { "" };
                return format!("/connections/{connection}{page}");
            }
        };
        page.to_owned()
    }

    /// The connection that it leads to: the newest that lacks what is asked; none where it is about none, or there is none.
    #[must_use]
    pub const fn leads_to(self, facts: &Facts) -> Option<ConnectionId> {
        match self {
            Self::Connect => facts.to_connect,
            Self::Configure => facts.to_configure,
            Self::Verify => facts.to_verify,
            Self::ProviderRecord | Self::Contact | Self::Publish | Self::Register | Self::OpenLink => None,
        }
    }

    /// What is missing for its own verification to hold; none when it holds.
    const fn missing(self, side: Part, facts: &Facts) -> Option<&'static str> {
        let (holds, missing) = match (self, side) {
            (Self::ProviderRecord, _) => (facts.provider_record, "There is no provider record yet."),
            (Self::Contact, _) => (facts.contacts > 0, "There is no company with an active contact yet."),
            (Self::Publish, _) => (facts.definitions > 0, "Nothing is published yet."),
            (Self::Register, _) => {
                (facts.registrations > 0, "There is no registration yet, or all were cancelled.")
            }
            (Self::OpenLink, _) => (facts.connections > 0, "No registration link was opened yet."),
            (Self::Connect, Part::Provider) => (facts.onboarded > 0, "No consumer is onboarded yet."),
            (Self::Connect, Part::Consumer) => {
                (facts.onboarded > 0, "No connection to a provider is onboarded yet.")
            }
            (Self::Configure, _) => (facts.configured > 0, "The settings were not saved yet."),
            (Self::Verify, _) => (facts.verified > 0, "No verification of a connection has passed yet."),
        };
        if holds { None } else { Some(missing) }
    }

    const fn is_begun(self, facts: &Facts) -> bool {
        match self {
            Self::Contact => facts.companies > 0,
            Self::Connect => facts.connections > 0,
            Self::Verify => facts.verifications > 0,
            Self::ProviderRecord | Self::Publish | Self::Register | Self::OpenLink | Self::Configure => false,
        }
    }
}

/// The activities of a side as they stand, in order.
#[must_use]
pub fn activities(side: Part, facts: &Facts, marks: &BTreeMap<ActivityName, Mark>) -> Vec<Activity> {
    ActivityName::of(side).iter().map(|name| activity(*name, side, facts, marks)).collect()
}

fn activity(name: ActivityName, side: Part, facts: &Facts, marks: &BTreeMap<ActivityName, Mark>) -> Activity {
    let mark = marks.get(&name).cloned();
    let locked_by: Vec<_> =
        name.after(side).iter().copied().filter(|first| !marks.contains_key(first)).collect();
    let missing = name.missing(side, facts);
    let state = if mark.is_some() {
        ActivityState::Completed
    } else if !locked_by.is_empty() {
        ActivityState::Locked
    } else if missing.is_none() || name.is_begun(facts) {
        ActivityState::InProgress
    } else {
        ActivityState::Available
    };
    Activity { name, state, locked_by, missing, mark }
}

impl Activity {
    /// *Mark Complete*: none when it is completed already, which stays as it was.
    ///
    /// # Errors
    /// `WRONG_STATE` while it is locked; `NOT_VALIDATED` when its own verification does not hold and no reason is given
    /// to complete it all the same; `INVALID_INPUT` for a reason that is empty or too long.
    pub fn complete(
        &self,
        by: UserId,
        override_reason: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<Mark>, Refusal> {
        let reason = override_reason.map(str::trim);
        if reason.is_some_and(|reason| reason.is_empty() || reason.chars().count() > REASON_LIMIT) {
            let message = format!("A reason has 1 to {REASON_LIMIT} characters.");
            return Err(Refusal::invalid("overrideReason", message));
        }
        match (self.state, self.missing, reason) {
            (ActivityState::Completed, ..) => Ok(None),
            (ActivityState::Locked, ..) => {
                let first: Vec<_> = self.locked_by.iter().map(|name| format!("“{}”", name.label())).collect();
                let message = format!("Complete {} first.", first.join(" and "));
                Err(Refusal::new(RefusalCode::WrongState, message).reason("LOCKED"))
            }
            (_, Some(missing), None) => {
                let message = format!("{missing} Do it first, or give a reason to complete it all the same.");
                Err(Refusal::new(RefusalCode::NotValidated, message).field("activity"))
            }
            // A reason counts only where it was needed.
            (_, missing, reason) => {
                let override_reason = reason.filter(|_| missing.is_some()).map(str::to_owned);
                Ok(Some(Mark { by, at: now, override_reason }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark() -> Mark {
        Mark { by: UserId(uuid::Uuid::nil()), at: Timestamp::default(), override_reason: None }
    }

    fn states(side: Part, facts: &Facts, marked: &[ActivityName]) -> Vec<&'static str> {
        let marks = marked.iter().map(|name| (*name, mark())).collect();
        activities(side, facts, &marks).iter().map(|activity| activity.state.as_str()).collect()
    }

    #[test]
    fn what_is_done_unlocks_nothing_until_a_person_marks_it() {
        let mut facts = Facts { connections: 1, onboarded: 1, ..Facts::default() };
        let side = Part::Consumer;
        assert_eq!(states(side, &facts, &[]), ["IN_PROGRESS", "LOCKED", "LOCKED", "LOCKED"]);
        let opened = [ActivityName::OpenLink];
        assert_eq!(states(side, &facts, &opened), ["COMPLETED", "IN_PROGRESS", "LOCKED", "LOCKED"]);
        let connected = [ActivityName::OpenLink, ActivityName::Connect];
        assert_eq!(states(side, &facts, &connected), ["COMPLETED", "COMPLETED", "AVAILABLE", "AVAILABLE"]);
        facts.verifications = 1;
        assert_eq!(states(side, &facts, &connected)[3], "IN_PROGRESS");
    }

    #[test]
    fn an_activity_is_completed_only_when_its_verification_holds_or_with_a_reason() {
        let user = UserId(uuid::Uuid::nil());
        let find = |facts: &Facts, marked: &[ActivityName], name: ActivityName| {
            let marks = marked.iter().map(|name| (*name, mark())).collect();
            let all = activities(Part::Provider, facts, &marks);
            all.into_iter().find(|activity| activity.name == name).unwrap()
        };
        let name = ActivityName::ProviderRecord;
        let nothing = Facts::default();
        let refused = find(&nothing, &[], name).complete(user, None, Timestamp::default()).unwrap_err();
        assert_eq!(refused.code, RefusalCode::NotValidated);
        let reason = "x".repeat(REASON_LIMIT + 1);
        for bad in ["", " ", &reason] {
            assert!(find(&nothing, &[], name).complete(user, Some(bad), Timestamp::default()).is_err());
        }
        let done = find(&nothing, &[], name).complete(user, Some("later"), Timestamp::default()).unwrap();
        assert_eq!(done.unwrap().override_reason.as_deref(), Some("later"));
        let facts = Facts { provider_record: true, ..nothing };
        let done = find(&facts, &[], name).complete(user, Some("later"), Timestamp::default()).unwrap();
        assert_eq!(done.unwrap().override_reason, None, "no reason was needed");
        assert_eq!(find(&facts, &[name], name).complete(user, None, Timestamp::default()), Ok(None));
        let locked = find(&facts, &[name], ActivityName::Register);
        let refused = locked.complete(user, Some("later"), Timestamp::default()).unwrap_err();
        assert_eq!(refused.reason.as_deref(), Some("LOCKED"), "a reason does not unlock");
        assert!(refused.message.contains("Enter a company"), "{}", refused.message);
    }

    #[test]
    fn whatever_locks_an_activity_comes_before_it() {
        for side in Part::ALL {
            let all = ActivityName::of(*side);
            for (place, name) in all.iter().enumerate() {
                let earlier = &all[..place];
                assert!(name.after(*side).iter().all(|first| earlier.contains(first)), "{side}: {name}");
            }
        }
    }
}
