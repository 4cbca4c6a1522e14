//! The authorization server as a client off the shelf meets it.

use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::harness::browser::{Consent, decide};
use crate::harness::pair::CONTACT;
use crate::harness::{Database, Stage};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// As `oauth4webapi` writes it: with today's name of the algorithm, and without a type.
const STOCK: &str = r#"{"alg":"Ed25519"}"#;
const OURS: &str = r#"{"alg":"EdDSA","typ":"client-authentication+jwt"}"#;

/// A client whose claim is bound: the consumer's, with the key in the test's hand.
struct OAuthClient<'a> {
    stage: &'a Stage,
    key: Ed25519KeyPair,
    id: String,
    link: String,
    sent: std::cell::Cell<u32>,
}

impl<'a> OAuthClient<'a> {
    async fn of(stage: &'a Stage, database: Database) -> Self {
        let (consumer, connection) = stage.validated().await;
        stage.start(&consumer, &connection).await;
        let provider = &stage.pair.provider;
        let claim = provider.ids("claim where rehearsal = false").await[0].0;
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = database.bytes(&data_encoding::HEXLOWER.encode(key.public_key().as_ref()));
        provider.tamper(&format!("update claim set public_key = {public} where rehearsal = false")).await;
        let link = stage.now().await["link"]["publicId"].as_str().unwrap().to_owned();
        Self { stage, key, id: claim.to_string(), link, sent: std::cell::Cell::new(0) }
    }

    fn assertion(&self, header: &str, key: &Ed25519KeyPair) -> String {
        let now = linkspan::world::Clock::now_ms(self.stage.pair.clock.as_ref()) / 1_000;
        self.sent.set(self.sent.get() + 1);
        let claims = json!({
            "iss": self.id, "sub": self.id, "aud": self.stage.pair.provider.origin,
            "jti": format!("jti-{}", self.sent.get()), "iat": now, "exp": now + 50,
        });
        let encode = |text: &str| data_encoding::BASE64URL_NOPAD.encode(text.as_bytes());
        let input = format!("{}.{}", encode(header), encode(&claims.to_string()));
        let signature = data_encoding::BASE64URL_NOPAD.encode(key.sign(input.as_bytes()).as_ref());
        format!("{input}.{signature}")
    }

    fn details(&self) -> Value {
        json!([{ "type": "linkspan_link", "registration": self.link, "claim_id": self.id }])
    }

    fn redirect(&self) -> String {
        format!("{}/oauth/callback", self.stage.pair.consumer.origin)
    }

    async fn post(&self, path: &str, assertion: String, more: &[(&str, &str)]) -> reqwest::Response {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
        form.append_pair("client_assertion", &assertion).extend_pairs(more);
        let provider = &self.stage.pair.provider;
        let request = provider.client().http().post(format!("{}{path}", provider.origin)).body(form.finish());
        request.header("content-type", "application/x-www-form-urlencoded").send().await.unwrap()
    }

    async fn push(&self, assertion: String) -> reqwest::Response {
        let (details, redirect) = (self.details().to_string(), self.redirect());
        let fields = [
            ("response_type", "code"),
            ("redirect_uri", &redirect),
            ("state", "a-state-of-the-clients"),
            ("scope", "link:establish"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("authorization_details", &details),
        ];
        self.post("/oauth/par", assertion, &fields).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_off_the_shelf_gets_its_token_whatever_strangers_send_in_its_name() {
    for database in Database::available() {
        let stage = Stage::open(database).await;
        let client = OAuthClient::of(&stage, database).await;
        let origin = &stage.pair.provider.origin;

        // Who the client is, everybody may know; that locks it out of nothing.
        let stranger = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
        let mut statuses = Vec::new();
        for _ in 0..40 {
            statuses.push(client.push(client.assertion(STOCK, &stranger)).await.status().as_u16());
        }
        assert_eq!((statuses[0], statuses[39]), (401, 429), "{statuses:?}");

        let metadata = format!("{origin}/.well-known/oauth-authorization-server");
        let metadata: Value =
            stage.pair.provider.client().http().get(metadata).send().await.unwrap().json().await.unwrap();
        for endpoint in ["token", "revocation"] {
            let offered = &metadata[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
            assert_eq!(*offered, json!(["Ed25519", "EdDSA"]));
        }
        let nothing = stage.pair.provider.client().get("/oauth/authorize?request_uri=nothing").await;
        assert_eq!(nothing.status, 400, "{}", nothing.body);
        for header in [OURS, STOCK] {
            let pushed = client.push(client.assertion(header, &client.key)).await;
            assert_eq!(pushed.status(), 201, "{header}: {}", pushed.text().await.unwrap());
        }
        let other = r#"{"alg":"EdDSA","typ":"JWT"}"#;
        let refused = client.push(client.assertion(other, &client.key)).await;
        assert_eq!(refused.status(), 401);
        assert_eq!(refused.headers()["www-authenticate"], "Bearer error=\"invalid_client\"");

        let pushed: Value = client.push(client.assertion(STOCK, &client.key)).await.json().await.unwrap();
        let request = pushed["request_uri"].as_str().unwrap();
        let url = url::Url::parse_with_params(
            &format!("{origin}/oauth/authorize"),
            [("client_id", client.id.as_str()), ("request_uri", request)],
        );
        let now = json!({ "onboarding": { "authorizationUrl": url.unwrap().to_string() } });
        let browser = stage.pair.provider.client();
        let Consent::Asked(page) = stage.consent(&browser, &now, CONTACT).await else { panic!("not asked") };
        let back = url::Url::parse(&decide(&browser, &page, "allow").await).unwrap();
        let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();

        let redirect = client.redirect();
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", &redirect),
            ("code_verifier", VERIFIER),
        ];
        let token = client.post("/oauth/token", client.assertion(STOCK, &client.key), &fields).await;
        assert_eq!(token.status(), 200);
        let token: Value = token.json().await.unwrap();
        assert_eq!(token["authorization_details"], client.details(), "as granted (RFC 9396, 7)");
    }
}
