//! Opaque texts of the API: global ids of nodes, and cursors into lists and into the log of changes.

use async_graphql::ID;
use data_encoding::BASE64URL_NOPAD;
use uuid::Uuid;

use crate::domain::scan::Subject;

/// The longest text that is looked at; ours are shorter.
const MAX_LENGTH: usize = 128;

/// The types that have a global id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A registration.
    Registration,
    /// A connection.
    Connection,
    /// A scan.
    Scan,
    /// An issue.
    Issue,
    /// A company.
    Company,
    /// An account of another organisation's person.
    Contact,
    /// An account of one of our own people.
    User,
    /// A personal access token.
    AccessToken,
    /// A browser in which somebody is signed in.
    Session,
    /// A definition that we publish.
    Definition,
    /// A key module.
    KeyModule,
    /// A version of a key.
    KeyVersion,
    /// A request for a second person's approval.
    KeyApproval,
    /// An access policy of a key module.
    AccessPolicy,
    /// A line of the error log.
    ErrorLogEntry,
    /// An entry of the audit trail.
    AuditEntry,
}

impl Kind {
    /// Every kind.
    const ALL: [Self; 16] = [
        Self::Registration,
        Self::Connection,
        Self::Scan,
        Self::Issue,
        Self::Company,
        Self::Contact,
        Self::User,
        Self::AccessToken,
        Self::Session,
        Self::Definition,
        Self::KeyModule,
        Self::KeyVersion,
        Self::KeyApproval,
        Self::AccessPolicy,
        Self::ErrorLogEntry,
        Self::AuditEntry,
    ];

    /// The name of the type in the schema.
    const fn type_name(self) -> &'static str {
        match self {
            Self::Registration => "Registration",
            Self::Connection => "ConnectionRecord",
            Self::Scan => "Scan",
            Self::Issue => "Issue",
            Self::Company => "Company",
            Self::Contact => "Contact",
            Self::User => "User",
            Self::AccessToken => "AccessToken",
            Self::Session => "Session",
            Self::Definition => "PublishedDefinition",
            Self::KeyModule => "KeyModule",
            Self::KeyVersion => "KeyVersion",
            Self::KeyApproval => "KeyApproval",
            Self::AccessPolicy => "AccessPolicy",
            Self::ErrorLogEntry => "ErrorLogEntry",
            Self::AuditEntry => "AuditEntry",
        }
    }

    /// The word for people.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::Connection => "connection",
            Self::Scan => "scan",
            Self::Issue => "issue",
            Self::Company => "company",
            Self::Contact => "contact",
            Self::User => "user",
            Self::AccessToken => "access token",
            Self::Session => "session",
            Self::Definition => "definition",
            Self::KeyModule => "key module",
            Self::KeyVersion => "key",
            Self::KeyApproval => "request for approval",
            Self::AccessPolicy => "access policy",
            Self::ErrorLogEntry => "line of the error log",
            Self::AuditEntry => "entry of the audit trail",
        }
    }

    /// The global id of one of this kind.
    pub(super) fn id(self, id: Uuid) -> ID {
        ID(encode(self.type_name(), &id.to_string()))
    }

    /// The id within, when the global id is one of this kind.
    pub(super) fn read(self, id: &str) -> Option<Uuid> {
        decode(id).filter(|(kind, _)| *kind == self).map(|(_, id)| id)
    }
}

/// The global id of what a scan or an issue is about; the instance itself has none.
pub(super) fn subject_id(subject: Subject) -> Option<ID> {
    match subject {
        Subject::Registration(id) => Some(Kind::Registration.id(id.0)),
        Subject::Connection(id) => Some(Kind::Connection.id(id.0)),
        Subject::Instance(_) => None,
    }
}

/// Reads a global id of any kind.
pub(super) fn decode(id: &str) -> Option<(Kind, Uuid)> {
    let (kind, id) = open(id)?;
    let kind = Kind::ALL.into_iter().find(|known| known.type_name() == kind)?;
    // Only the spelling that is given out: one thing has one id.
    let uuid = Uuid::try_parse(&id).ok().filter(|uuid| uuid.to_string() == id)?;
    Some((kind, uuid))
}

/// Where a list goes on.
pub(super) fn row_cursor(id: Uuid) -> String {
    encode("k", &id.to_string())
}

/// Reads what [`row_cursor`] wrote.
pub(super) fn read_row_cursor(text: &str) -> Option<Uuid> {
    open(text).filter(|(kind, _)| kind == "k").and_then(|(_, id)| Uuid::try_parse(&id).ok())
}

/// Where the log of changes goes on: after the change with this number.
pub(super) fn change_cursor(seq: i64) -> String {
    encode("c", &seq.to_string())
}

/// Reads what [`change_cursor`] wrote.
pub(super) fn read_change_cursor(text: &str) -> Option<i64> {
    let (_, seq) = open(text).filter(|(kind, _)| kind == "c")?;
    seq.parse().ok().filter(|seq| *seq >= 0)
}

/// Where a list of numbered things goes on.
pub(super) fn number_cursor(number: i64) -> String {
    encode("n", &number.to_string())
}

/// Reads what [`number_cursor`] wrote.
pub(super) fn read_number_cursor(text: &str) -> Option<i64> {
    let (_, number) = open(text).filter(|(kind, _)| kind == "n")?;
    number.parse().ok().filter(|number| *number >= 0)
}

fn encode(kind: &str, value: &str) -> String {
    BASE64URL_NOPAD.encode(format!("{kind}:{value}").as_bytes())
}

fn open(text: &str) -> Option<(String, String)> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let (kind, value) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some((kind.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0001);

    #[test]
    fn a_global_id_names_its_type_and_only_that() {
        for kind in Kind::ALL {
            let id = kind.id(ID);
            assert_eq!(decode(&id), Some((kind, ID)));
            for other in Kind::ALL {
                assert_eq!(other.read(&id).is_some(), kind == other, "{kind:?} read as {other:?}");
            }
        }
    }

    #[test]
    fn a_global_id_is_stable() {
        let id = Kind::Scan.id(ID);
        assert_eq!(id.as_str(), "U2NhbjowMTk4MDAwMC0wMDAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDE");
    }

    #[test]
    fn a_text_that_was_never_given_out_is_no_id() {
        let long = "A".repeat(5000);
        let other = encode("Nothing", &ID.to_string());
        let no_uuid = encode("Scan", "1");
        let padded = format!("{}=", *Kind::Scan.id(ID));
        let bare = ID.to_string();
        for text in
            ["", "x", "bm9wZTo5OTk5", "../../etc/passwd", "%00", "é", &long, &other, &no_uuid, &padded, &bare]
        {
            assert_eq!(decode(text), None, "{text:.20}");
        }
    }

    #[test]
    fn a_cursor_of_one_list_is_none_of_the_log() {
        assert_eq!(read_row_cursor(&row_cursor(ID)), Some(ID));
        assert_eq!(read_change_cursor(&change_cursor(7)), Some(7));
        assert_eq!(read_change_cursor(&row_cursor(ID)), None);
        assert_eq!(read_row_cursor(&change_cursor(7)), None);
        assert_eq!(read_row_cursor(&Kind::Scan.id(ID)), None);
        assert_eq!(read_number_cursor(&number_cursor(7)), Some(7));
        assert_eq!(read_number_cursor(&change_cursor(7)), None);
    }

    #[test]
    fn a_change_cursor_is_a_number_that_is_not_negative() {
        for text in ["c:-1", "c:", "c:1 ", "c:9223372036854775808", "c:x"] {
            assert_eq!(read_change_cursor(&BASE64URL_NOPAD.encode(text.as_bytes())), None, "{text}");
        }
        assert_eq!(change_cursor(0), "Yzow");
    }
}
