//! What must hold of every decision, over a hundred thousand sets of policies each.

use proptest::prelude::*;

use super::*;

const CASES: u32 = 100_000;

fn right() -> impl Strategy<Value = Right> {
    prop::sample::select(vec![Right::Seal, Right::Open, Right::Rotate, Right::Destroy])
}

fn value() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a".to_owned(), "b".to_owned()])
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["link_id", "region"])
}

fn matcher() -> impl Strategy<Value = Matcher> {
    prop::sample::select(vec![
        Matcher::Anyone,
        Matcher::AnyService,
        Matcher::Service(Service::Peer),
        Matcher::Service(Service::Letters),
        Matcher::AnyPerson,
        Matcher::Person([1; 16]),
        Matcher::Role(KeyRole::Manager),
        Matcher::Role(KeyRole::Operator),
    ])
}

fn principal() -> impl Strategy<Value = Principal> {
    let person = |id, roles: &[KeyRole]| Principal::Person { id, roles: roles.iter().copied().collect() };
    prop::sample::select(vec![
        Principal::Service(Service::Peer),
        Principal::Service(Service::SignIn),
        person([1; 16], &[]),
        person([1; 16], &[KeyRole::Manager]),
        person([2; 16], &[KeyRole::Operator, KeyRole::Auditor]),
    ])
}

prop_compose! {
    fn policy()(
        id in 0_u8..16,
        effect in prop::sample::select(Effect::ALL.to_vec()),
        matcher in matcher(),
        rights in prop::collection::vec(right(), 1..3),
        condition in prop::option::weighted(0.4, (name(), value())),
    ) -> AccessPolicy {
        let condition = condition.map(|(name, value)| Condition { name: name.to_owned(), value });
        AccessPolicy { id: [id; 16], effect, matcher, rights: rights.into_iter().collect(), condition, note: String::new() }
    }
}

prop_compose! {
    fn case()(
        policies in prop::collection::vec(policy(), 0..6),
        default in prop::sample::select(DefaultDecision::ALL.to_vec()),
        principal in principal(),
        right in right(),
        link in prop::option::of(value()),
        region in prop::option::of("[abc]"),
    ) -> (Vec<AccessPolicy>, DefaultDecision, Principal, Right, Context) {
        let given = [("link_id", link), ("region", region)].into_iter();
        let given = given.filter_map(|(name, value)| Some((name, value?)));
        let context = given.fold(Context::nothing(), |context, (name, value)| context.with(name, value));
        (policies, default, principal, right, context)
    }
}

/// The decision order as the specification says it, without looking at [`decide`].
fn by_the_book(
    policies: &[AccessPolicy],
    default: DefaultDecision,
    principal: &Principal,
    right: Right,
    context: &Context,
) -> bool {
    if let Principal::Person { roles, .. } = principal
        && !right.uses_material()
        && !roles.rights().has(right)
    {
        return false;
    }
    let any = |effect| {
        policies.iter().any(|policy| {
            policy.effect == effect
                && policy.matcher.matches(principal)
                && policy.rights.has(right)
                && policy.condition.as_ref().is_none_or(|condition| {
                    context.value(&condition.name).map_or(effect != Effect::Track, |v| v == condition.value)
                })
        })
    };
    if any(Effect::StrictReject) {
        false
    } else if any(Effect::Track) {
        true
    } else if any(Effect::Reject) {
        false
    } else {
        default == DefaultDecision::Track
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decisions_follow_the_order_of_the_specification(case in case()) {
        let (policies, default, principal, right, context) = case;
        let decision = decide([0; 16], &policies, default, &principal, right, &context);
        prop_assert_eq!(decision.allowed, by_the_book(&policies, default, &principal, right, &context));
    }

    #[test]
    fn a_strict_reject_dominates_whatever_else_there_is(case in case(), at in any::<prop::sample::Index>()) {
        let (mut policies, default, principal, right, context) = case;
        let strict = AccessPolicy {
            id: [99; 16],
            effect: Effect::StrictReject,
            matcher: Matcher::Anyone,
            rights: Rights::of(&[right]),
            condition: None,
            note: String::new(),
        };
        policies.insert(at.index(policies.len() + 1), strict);
        prop_assert!(!decide([0; 16], &policies, default, &principal, right, &context).allowed);
    }

    #[test]
    fn the_order_of_policies_changes_nothing(
        case in case(),
        shuffled in any::<u64>(),
    ) {
        let (policies, default, principal, right, context) = case;
        let mut other = policies.clone();
        let mut state = shuffled;
        for i in (1..other.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            other.swap(i, usize::try_from(state >> 33).unwrap() % (i + 1));
        }
        prop_assert_eq!(digest(&policies), digest(&other));
        prop_assert_eq!(
            decide([0; 16], &policies, default, &principal, right, &context),
            decide([0; 16], &other, default, &principal, right, &context)
        );
    }

    #[test]
    fn what_is_said_to_be_effective_is_what_is_decided(case in case()) {
        let (policies, default, principal, right, context) = case;
        let allowed = decide([0; 16], &policies, default, &principal, right, &context).allowed;
        let allows = |one: &Condition| context.value(&one.name) == Some(one.value.as_str());
        let denies = |one: &Condition| context.value(&one.name).is_none_or(|value| value == one.value);
        let said = match effective(&policies, default, &principal, right) {
            Effective::Allowed => true,
            Effective::Denied => false,
            Effective::Conditional { never, allowed, denied, otherwise } => {
                !never.iter().any(denies)
                    && (allowed.iter().any(allows) || !denied.iter().any(denies) && otherwise)
            }
        };
        prop_assert_eq!(allowed, said);
    }
}

#[test]
fn a_condition_allows_its_data_only_and_unknown_data_escapes_no_rejection() {
    let bound = |effect| AccessPolicy {
        id: [1; 16],
        effect,
        matcher: Matcher::Service(Service::Peer),
        rights: Rights::of(&[Right::Open]),
        condition: Some(Condition { name: "link_id".to_owned(), value: "x".to_owned() }),
        note: String::new(),
    };
    let allowed = |effect, default, context| {
        let peer = Principal::Service(Service::Peer);
        decide([0; 16], &[bound(effect)], default, &peer, Right::Open, &context).allowed
    };
    let (x, y) = (Context::nothing().with("link_id", "x"), Context::nothing().with("link_id", "y"));
    let nothing = Context::nothing();
    for (context, tracked, rejected) in [(x, true, false), (y, false, true), (nothing, false, false)] {
        assert_eq!(allowed(Effect::Track, DefaultDecision::Reject, context.clone()), tracked);
        assert_eq!(allowed(Effect::StrictReject, DefaultDecision::Track, context.clone()), rejected);
        assert_eq!(allowed(Effect::Reject, DefaultDecision::Track, context), rejected);
    }
}

#[test]
fn a_role_is_needed_to_manage_and_no_role_helps_a_service() {
    let everything = AccessPolicy {
        id: [1; 16],
        effect: Effect::Track,
        matcher: Matcher::Anyone,
        rights: Right::ALL.iter().copied().collect(),
        condition: None,
        note: String::new(),
    };
    for right in Right::ALL {
        let decided = |principal| {
            let policies = std::slice::from_ref(&everything);
            decide([0; 16], policies, DefaultDecision::Track, &principal, *right, &Context::nothing())
        };
        let nobody = Principal::Person { id: [1; 16], roles: KeyRoles::NONE };
        assert_eq!(decided(nobody).allowed, right.uses_material(), "{right}");
        assert_eq!(decided(Principal::Service(Service::Peer)).allowed, right.is_of_a_module(), "{right}");
    }
}

#[test]
fn a_matcher_is_read_as_it_was_written() {
    for matcher in [
        Matcher::Anyone,
        Matcher::AnyService,
        Matcher::AnyPerson,
        Matcher::Service(Service::SignIn),
        Matcher::Role(KeyRole::Auditor),
        Matcher::Person([0xab; 16]),
    ] {
        assert_eq!(matcher.to_string().parse::<Matcher>().unwrap(), matcher);
    }
    for text in ["", "service:", "service:sign-in", "person:ab", "role:ADMIN", "everyone", "person"] {
        assert!(text.parse::<Matcher>().is_err(), "{text}");
    }
}
