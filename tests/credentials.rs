//! Sessions, access tokens and passwords: looked after by their holder, and confirmed before what matters most.

use linkspan::domain::requester::Role;
use serde_json::{Value, json};

use crate::harness::browser::{Form, form};
use crate::harness::pair::PASSWORD;
use crate::harness::{Client, Database, Pair, Stage, nodes};

const ADMIN: &str = "admin@provider.example.com";
const SIX_MINUTES: i64 = 6 * 60 * 1_000;

async fn step_up(client: &Client, password: &str) -> Value {
    confirm(client, json!({ "password": password })).await
}

async fn confirm(client: &Client, proof: Value) -> Value {
    client.try_mutate("stepUp", proof, "freshUntil").await
}

/// How often a code may be tried.
const TRIES: usize = 5;
/// How many letters with a code may be asked for at once.
const LETTERS: usize = 4;

/// Asks for a letter with a code to confirm oneself with; the code of the latest.
async fn code_by_mail(stage: &Stage, client: &Client) -> String {
    client.mutate("requestStepUpCode", json!({}), "done").await;
    stage.pair.settle().await;
    let letters = stage.pair.provider.letters();
    let letter = letters.iter().rev().find(|letter| letter.contains("confirm that it is you")).unwrap();
    let code = letter.lines().map(str::trim).find(|line| line.len() == 8 && line.parse::<u32>().is_ok());
    code.unwrap_or_else(|| panic!("no code in {letter}")).to_owned()
}

/// Whoever has no password at hand confirms themselves by letter: in the session that asked for it, once, within ten
/// minutes, and with five tries.
async fn a_code_by_mail_confirms_as_well(stage: &Stage, admin: &Client) {
    let elsewhere = stage.pair.provider.client();
    elsewhere.sign_in(ADMIN, PASSWORD).await;
    let refused = async |client: &Client, code: &str| {
        let answer = confirm(client, json!({ "code": code })).await;
        assert_eq!(answer["refusal"]["code"], "CREDENTIALS_INVALID", "{answer:#}");
        assert_eq!(answer["refusal"]["field"], "code", "{answer:#}");
    };
    let code = code_by_mail(stage, admin).await;
    refused(&elsewhere, &code).await;
    let visitor = stage.pair.provider.client();
    let page = visitor.get("/sign-in").await;
    let form = Form { action: "/sign-in/code/verify".to_owned(), ..form(&page, &["email"]) };
    let page = visitor.submit(&page, form, &[("email", ADMIN), ("code", &code)]).await;
    assert_ne!(page.status, 303, "it begins no session: {}", page.body);
    let done = confirm(admin, json!({ "code": code })).await;
    assert!(done["freshUntil"].is_string(), "{done:#}");
    refused(admin, &code).await;
    stage.pair.clock.advance(SIX_MINUTES);
    let code = code_by_mail(stage, admin).await;
    stage.pair.clock.advance(2 * SIX_MINUTES);
    refused(admin, &code).await;
    let code = code_by_mail(stage, admin).await;
    for _ in 0..TRIES {
        refused(admin, "00000000").await;
    }
    refused(admin, &code).await;
    for proof in [json!({}), json!({ "password": PASSWORD, "code": code })] {
        assert_eq!(confirm(admin, proof).await["refusal"]["code"], "INVALID_INPUT");
    }
    stage.pair.clock.advance(SIX_MINUTES);
    for _ in 0..LETTERS {
        admin.mutate("requestStepUpCode", json!({}), "done").await;
    }
    let more = admin.try_mutate("requestStepUpCode", json!({}), "done").await;
    assert_eq!(more["refusal"]["code"], "RATE_LIMITED", "{more:#}");
    stage.pair.clock.advance(SIX_MINUTES);
}

async fn sessions(client: &Client) -> Vec<Value> {
    let found = client.query("{ sessions { edges { node { id current } } } }", json!({})).await;
    nodes(&found["sessions"])
}

/// What needs the holder's password again: each with its input and fields.
fn dangerous(stage: &Stage) -> Vec<(&'static str, Value, &'static str)> {
    let (registration, contact) = (&stage.registration, &stage.ready.contact);
    vec![
        ("reissueRegistrationLink", json!({ "registrationId": registration }), "link"),
        (
            "updateRegistration",
            json!({ "registrationId": registration, "contactId": contact }),
            "registration { id }",
        ),
        ("updateContact", json!({ "userId": contact, "name": "Renamed" }), "contact { id }"),
        (
            "createContact",
            json!({ "companyId": stage.ready.company, "email": "new@consumer.example.com", "name": "New" }),
            "contact { id }",
        ),
        (
            "createUser",
            json!({ "email": "new@provider.example.com", "name": "New", "roles": ["VIEWER"] }),
            "user { id }",
        ),
        ("grantRole", json!({ "userId": contact, "role": "CONSUMER_CONTACT" }), "contact { id }"),
        ("revokeRole", json!({ "userId": contact, "role": "CONSUMER_CONTACT" }), "contact { id }"),
        ("createAccessToken", json!({ "name": "program", "days": 1 }), "secret"),
        ("setPassword", json!({ "password": "another horse battery" }), "done"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_matters_most_needs_the_password_or_a_code_by_mail_within_five_minutes() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (provider, admin) = (&stage.pair.provider, &stage.provider);
        let made = admin.mutate("createAccessToken", json!({ "name": "ci", "days": 1 }), "secret").await;
        let program = provider.client().with_token(made["secret"].as_str().unwrap());
        stage.pair.clock.advance(SIX_MINUTES);
        let before = provider.rows("audit where actor like 'user:%'").await;
        for (name, input, fields) in dangerous(&stage) {
            let query = format!(
                "mutation($input: {}{}Input!) {{ {name}(input: $input) {{ {fields} refusal {{ code remedy {{ kind mutation }} }} }} }}",
                name[..1].to_uppercase(),
                &name[1..]
            );
            let answer = admin.query(&query, json!({ "input": input })).await;
            let expected = json!({
                "code": "STEP_UP_REQUIRED", "remedy": { "kind": "CALL", "mutation": "stepUp" },
            });
            assert_eq!(answer[name]["refusal"], expected, "{name}: {answer:#}");
        }
        assert_eq!(provider.rows("audit where actor like 'user:%'").await, before, "nothing was done");
        let wrong = step_up(admin, "not the password at all").await;
        assert_eq!(wrong["refusal"]["code"], "CREDENTIALS_INVALID", "{wrong:#}");
        a_code_by_mail_confirms_as_well(&stage, admin).await;
        let right = step_up(admin, PASSWORD).await;
        assert!(right["freshUntil"].is_string(), "{right:#}");
        let renamed = program
            .try_mutate(
                "updateContact",
                json!({ "userId": stage.ready.contact, "name": "Name" }),
                "contact { name }",
            )
            .await;
        assert_eq!(renamed["contact"]["name"], "Name", "a program goes on: {renamed:#}");
        let contact = json!({ "userId": stage.ready.contact, "role": "CONSUMER_CONTACT" });
        for verb in ["revokeRole", "grantRole"] {
            let done = program.try_mutate(verb, contact.clone(), "contact { id }").await;
            assert!(done["refusal"].is_null(), "a contact's role goes with registrations: {done:#}");
        }
        for (name, input) in [
            ("grantRole", json!({ "userId": stage.ready.contact, "role": "ADMIN" })),
            ("createAccessToken", json!({ "name": "more", "days": 1 })),
            ("stepUp", json!({ "password": PASSWORD })),
            ("requestStepUpCode", json!({})),
        ] {
            let refused = program.try_mutate(name, input, "__typename").await;
            assert_eq!(refused["refusal"]["code"], "PERSON_REQUIRED", "{name}: {refused:#}");
        }
        for (name, input, fields) in dangerous(&stage) {
            let done = admin.try_mutate(name, input, fields).await;
            assert!(done["refusal"].is_null(), "{name}: {done:#}");
        }
        let out = admin.query("{ viewer { signedIn } }", json!({})).await;
        assert_eq!(out["viewer"]["signedIn"], false, "a new password ends all sessions");
        admin.sign_in(ADMIN, "another horse battery").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_seen_and_ended_by_its_holder_and_by_administrators_only() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let (provider, admin) = (&stage.pair.provider, &stage.provider);
        provider.user("viewer@provider.example.com", PASSWORD, &[Role::Viewer]).await;
        let (here, elsewhere) = (provider.client(), provider.client());
        for client in [&here, &elsewhere] {
            client.sign_in("viewer@provider.example.com", PASSWORD).await;
        }
        let own = sessions(&here).await;
        assert_eq!(own.len(), 2, "{own:#?}");
        let other = own.iter().find(|session| session["current"] == false).unwrap()["id"].clone();
        let admins = sessions(admin).await[0]["id"].clone();

        let refused = here.try_mutate("revokeSession", json!({ "id": admins }), "revokedId").await;
        assert_eq!(refused["refusal"]["code"], "NOT_FOUND", "another's looks like none: {refused:#}");
        here.mutate("revokeSession", json!({ "id": other }), "revokedId").await;
        let out = elsewhere.query("{ viewer { signedIn } }", json!({})).await;
        assert_eq!(out["viewer"]["signedIn"], false);
        assert_eq!(sessions(&here).await.len(), 1);

        let users = admin.query("{ users { edges { node { id email } } } }", json!({})).await;
        let viewer = users["users"]["edges"]
            .as_array()
            .unwrap()
            .iter()
            .find(|edge| edge["node"]["email"] == "viewer@provider.example.com")
            .unwrap()["node"]["id"]
            .clone();
        let query = "query($id: ID!) { sessions(userId: $id, first: 1) { edges { node { id } }
            pageInfo { hasNextPage } } accessTokens(userId: $id) { edges { node { id } } } }";
        let found = admin.query(query, json!({ "id": viewer })).await;
        assert_eq!(found["sessions"]["pageInfo"]["hasNextPage"], false, "{found:#}");
        let id = nodes(&found["sessions"])[0]["id"].clone();
        // By its global id, too, for the same people.
        let node = "query($ids: [ID!]!) { nodes(ids: $ids) { id ... on Session { current } } }";
        let both = json!({ "ids": [id, admins] });
        let (own, all) = (here.query(node, both.clone()).await, admin.query(node, both).await);
        assert_eq!(own["nodes"], json!([{ "id": id, "current": true }, null]));
        assert_eq!(all["nodes"][0], json!({ "id": id, "current": false }));
        assert_eq!(all["nodes"][1]["current"], true, "{all:#}");
        let foreign = here.raw(query, json!({ "id": stage.ready.contact })).await;
        assert_eq!(foreign["errors"][0]["extensions"]["code"], "FORBIDDEN", "{foreign:#}");
        admin.mutate("revokeSession", json!({ "id": id }), "revokedId").await;
        let out = here.query("{ viewer { signedIn } }", json!({})).await;
        assert_eq!(out["viewer"]["signedIn"], false);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_who_take_the_role_from_each_other_leave_one() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        pair.provider_admin().await;
        let users = "{ users { edges { node { id email roles } } } }";
        for round in 0..8 {
            let emails = ["one", "other"].map(|name| format!("{name}{round}@provider.example.com"));
            let mut people = Vec::new();
            for email in &emails {
                pair.provider.user(email, PASSWORD, &[Role::Admin]).await;
                let client = pair.provider.client();
                client.sign_in(email, PASSWORD).await;
                people.push(client);
            }
            let seen = people[0].query(users, json!({})).await;
            let edges = seen["users"]["edges"].as_array().unwrap().clone();
            let admins = edges.iter().map(|edge| &edge["node"]).filter(|it| it["roles"] == json!(["ADMIN"]));
            let (mut ids, mut others) = (Vec::new(), Vec::new());
            for admin in admins {
                match emails.iter().any(|email| admin["email"] == **email) {
                    true => ids.push(admin["id"].clone()),
                    false => others.push(admin["id"].clone()),
                }
            }
            for id in others {
                people[0].mutate("revokeRole", json!({ "userId": id, "role": "ADMIN" }), "user { id }").await;
            }
            let taken = ids.iter().rev().zip(&people).map(|(id, client)| {
                client.try_mutate("revokeRole", json!({ "userId": id, "role": "ADMIN" }), "user { id }")
            });
            futures_util::future::join_all(taken).await;
            let holders = "account_role where role = 'ADMIN'";
            assert_eq!(pair.provider.rows(holders).await, 1, "round {round} on {database:?}");
        }
    }
}
