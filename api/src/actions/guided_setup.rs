//! The guided set-up: what stands, and *Mark Complete*.

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::once::{Answer, Kept};
use super::{Actions, Call, Done, Failure};
use crate::domain::connection::Part;
use crate::domain::guided_setup::{Activity, ActivityName, activities};
use crate::domain::id::ConnectionId;
use crate::domain::refusal::Refusal;
use crate::store::Reader;

/// An activity of a side's checklist as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupActivity {
    /// Whose checklist.
    pub side: Part,
    /// The activity.
    pub activity: Activity,
    /// The connection that it leads to, if any.
    pub leads_to: Option<ConnectionId>,
}

impl Answer for SetupActivity {
    fn kept(&self) -> Kept {
        let text = format!("{} {}", self.side, self.activity.name);
        Kept { secret: Some(text.into()), ..Kept::default() }
    }

    async fn again(kept: Kept, reader: &Reader) -> Done<Self> {
        let wrong = || Failure::Bug("a kept activity");
        let text = kept.secret.ok_or_else(wrong)?;
        let (side, name) = text.expose_secret().split_once(' ').ok_or_else(wrong)?;
        let (side, name) = Part::parse(side).zip(ActivityName::parse(name)).ok_or_else(wrong)?;
        let (facts, marks) = reader.setup(side).await?.ok_or_else(|| Refusal::not_found("activity"))?;
        let found = activities(side, &facts, &marks).into_iter().find(|one| one.name == name);
        Ok(Self { side, activity: found.ok_or_else(wrong)?, leads_to: name.leads_to(&facts) })
    }
}

impl Actions {
    /// Marks an activity complete; marked again, it stays as it was. Answers it with the connection that it is about.
    ///
    /// # Errors
    /// `WRONG_STATE` while it is locked; `NOT_VALIDATED` when its own verification does not hold; `INVALID_INPUT` for an
    /// activity of the other side; `NOT_AN_ADMINISTRATOR`: an operator may complete what holds, a reason in its place
    /// is an administrator's.
    pub async fn complete_activity(
        &self,
        call: &Call,
        side: Part,
        name: ActivityName,
        override_reason: Option<&str>,
    ) -> Done<SetupActivity> {
        let user = match override_reason {
            None => call.requester.operator()?.user(),
            Some(_) => call.requester.administrator()?.user(),
        };
        let mut tx = self.begin("activity.complete", call).await?;
        let facts = tx.setup_facts(side).await?;
        let mut marks = tx.activity_marks(side).await?;
        let find = |all: Vec<Activity>| all.into_iter().find(|activity| activity.name == name);
        let Some(activity) = find(activities(side, &facts, &marks)) else {
            let message = format!("“{}” is not an activity of the {}.", name.label(), side.label());
            return Err(Refusal::invalid("activity", message).into());
        };
        let Some(mark) = activity.complete(user, override_reason, tx.now())? else {
            return Ok(SetupActivity { side, activity, leads_to: name.leads_to(&facts) });
        };
        tx.mark_activity(side, name, &mark).await?;
        let details = json!({ "side": side.as_str(), "overrideReason": mark.override_reason });
        tx.audit("activity.complete", "ACTIVITY", name, "OK", details);
        marks.insert(name, mark);
        tx.commit().await?;
        let activity = find(activities(side, &facts, &marks)).ok_or(Failure::Bug("activity"))?;
        Ok(SetupActivity { side, activity, leads_to: name.leads_to(&facts) })
    }
}
