//! What each part of this program needs of the built-in modules: the first access policies say just this, and a check
//! compares the policies in force with it.

use keyservice::module::BuiltIn;
use keyservice::{Right, Service};

/// Who needs a module, and what for.
#[must_use]
pub const fn needed(module: BuiltIn) -> &'static [(Service, &'static [Right])] {
    use Right::{Agree, Open, Revoke, Rotate, Seal, Sign, Verify};
    match module {
        BuiltIn::Identity => &[
            (Service::Onboarding, &[Agree, Sign, Verify]),
            (Service::Authorization, &[Sign, Verify]),
            (Service::Audit, &[Sign]),
        ],
        BuiltIn::Tokens => &[(Service::Authorization, &[Sign, Verify])],
        BuiltIn::Audit => &[(Service::Audit, &[Sign, Verify])],
        BuiltIn::Links => &[(Service::Onboarding, &[Agree, Rotate, Revoke]), (Service::Peer, &[Seal, Open])],
        BuiltIn::Data => &[
            (Service::Onboarding, &[Seal, Open]),
            (Service::Letters, &[Seal, Open]),
            (Service::SignIn, &[Seal, Open]),
            (Service::Settings, &[Seal, Open]),
        ],
    }
}
