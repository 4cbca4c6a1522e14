//! Matchers as texts: `anyone`, `services`, `people`, `service:PEER`, `role:KEY_MANAGER`, `person:` and 32 hexadecimal
//! digits.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;

use super::Matcher;
use crate::error::Error;
use crate::principal::Principal;

const MALFORMED: Error = Error::Malformed { what: "matcher of an access policy" };

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("anyone"),
            Self::AnyService => f.write_str("services"),
            Self::AnyPerson => f.write_str("people"),
            Self::Service(service) => write!(f, "service:{service}"),
            Self::Role(role) => write!(f, "role:{role}"),
            Self::Person(id) => write!(f, "person:{}", HEXLOWER.encode(id)),
        }
    }
}

impl FromStr for Matcher {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "anyone" => return Ok(Self::Anyone),
            "services" => return Ok(Self::AnyService),
            "people" => return Ok(Self::AnyPerson),
            _ => {}
        }
        match text.split_once(':').ok_or(MALFORMED)? {
            ("service", name) => name.parse().map(Self::Service),
            ("role", name) => name.parse().map(Self::Role),
            ("person", id) => {
                let id = HEXLOWER.decode(id.as_bytes()).map_err(|_| MALFORMED)?;
                id.try_into().map(Self::Person).map_err(|_| MALFORMED)
            }
            _ => Err(MALFORMED),
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(service) => Matcher::Service(*service).fmt(f),
            Self::Person { id, .. } => Matcher::Person(*id).fmt(f),
        }
    }
}
