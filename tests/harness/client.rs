//! A program that talks to an instance over HTTPS: GraphQL, and pages with cookies and forms.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use serde_json::{Value, json};

use super::events::Events;

/// A client of one instance.
pub(crate) struct Client {
    http: reqwest::Client,
    origin: String,
    /// Where the requests go: the origin, unless the instance is reached on another way.
    base: String,
    token: Option<String>,
    pub(crate) cookies: Mutex<BTreeMap<String, String>>,
    /// Every body that was answered, as it came.
    pub(crate) heard: Mutex<Vec<String>>,
}

/// The items of a list.
pub(crate) fn nodes(list: &Value) -> Vec<Value> {
    let edges = list["edges"].as_array().unwrap_or_else(|| panic!("no list: {list:#}"));
    edges.iter().map(|edge| edge["node"].clone()).collect()
}

/// A page as it came.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) url: String,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
}

impl Client {
    /// A client of the instance with this origin that reaches it somewhere else, whatever its certificate says there.
    pub(crate) fn reaching(origin: &str, base: &str, ca: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let url = url::Url::parse(origin).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], url.port().unwrap_or(443)));
        let other = url::Url::parse(base).unwrap();
        let http = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes()).unwrap()])
            .resolve(url.host_str().unwrap(), address)
            .resolve(other.host_str().unwrap(), address)
            .redirect(reqwest::redirect::Policy::none())
            .tls_danger_accept_invalid_certs(base != origin)
            .no_proxy()
            .build()
            .unwrap();
        Self {
            http,
            origin: origin.to_owned(),
            base: base.to_owned(),
            token: None,
            cookies: Mutex::default(),
            heard: Mutex::default(),
        }
    }

    /// The same client with a personal access token.
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Signs in by the form, as a person does.
    pub(crate) async fn sign_in(&self, email: &str, password: &str) {
        let page = self.get("/sign-in").await;
        let form = super::browser::form(&page, &["password"]);
        let page = self.submit(&page, form, &[("email", email), ("password", password)]).await;
        assert_eq!(page.status, 303, "{}", page.body);
    }

    /// Sends an operation and answers its data.
    pub(crate) async fn query(&self, query: &str, variables: Value) -> Value {
        let answer = self.raw(query, variables).await;
        assert!(answer.get("errors").is_none(), "{query}\n{answer:#}");
        answer["data"].clone()
    }

    /// Sends a query until its data is as wanted, for half a minute at most; answers the data.
    pub(crate) async fn query_until(&self, query: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..600 {
            let data = self.query(query, json!({})).await;
            if wanted(&data) {
                return data;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{query}\n{:#}", self.query(query, json!({})).await);
    }

    /// Sends a mutation with its one input and answers its payload, which must hold no refusal.
    pub(crate) async fn mutate(&self, name: &str, input: Value, fields: &str) -> Value {
        let payload = self.try_mutate(name, input, fields).await;
        assert!(payload["refusal"].is_null(), "{name}: {payload:#}");
        payload
    }

    /// Sends a mutation with its one input and answers its payload, refused or not; a refusal says what to do.
    pub(crate) async fn try_mutate(&self, name: &str, input: Value, fields: &str) -> Value {
        let kind = format!("{}{}Input", name[..1].to_uppercase(), &name[1..]);
        let query = format!(
            "mutation($input: {kind}!) {{ {name}(input: $input) {{ {fields} refusal {{ code message field reason traceId \
             remedy {{ text mutation setting }} }} }} }}"
        );
        let mut payload = self.query(&query, json!({ "input": input })).await[name].take();
        if let Some(refusal) = payload.get_mut("refusal").and_then(Value::as_object_mut) {
            let remedy = refusal.remove("remedy").unwrap_or_default();
            let says = ["text", "mutation", "setting"]
                .iter()
                .any(|way| remedy[way].as_str().is_some_and(|it| !it.is_empty()));
            assert!(says, "a dead end: {refusal:#?}");
        }
        payload
    }

    pub(crate) async fn raw(&self, query: &str, variables: Value) -> Value {
        let answer =
            self.post_graphql(&json!({ "query": query, "variables": variables })).send().await.unwrap();
        let body = answer.text().await.unwrap();
        self.heard.lock().unwrap().push(body.clone());
        serde_json::from_str(&body).unwrap_or_else(|_| panic!("no JSON: {body}"))
    }

    /// A request to the GraphQL endpoint with this client's credentials, not sent yet.
    pub(crate) fn post_graphql(&self, body: &Value) -> reqwest::RequestBuilder {
        let mut request = self.http.post(format!("{}/graphql", self.base)).json(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        request.header("cookie", self.cookie()).header("origin", &self.base)
    }

    /// Subscribes, by server-sent events.
    pub(crate) async fn subscribe(&self, query: &str, variables: Value) -> Events {
        let request = self.post_graphql(&json!({ "query": query, "variables": variables }));
        Events::of(request.header("accept", "text/event-stream").send().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        let url = if path.starts_with("https://") { path.to_owned() } else { format!("{}{path}", self.base) };
        let answer = self.http.get(&url).header("cookie", self.cookie()).send().await.unwrap();
        self.page(url, answer).await
    }

    /// Sends a form, with these fields filled in.
    pub(crate) async fn submit(
        &self,
        page: &Page,
        form: super::browser::Form,
        fields: &[(&str, &str)],
    ) -> Page {
        let mut values = form.fields;
        for (name, value) in fields {
            values.insert((*name).to_owned(), (*value).to_owned());
        }
        let url = url::Url::parse(&page.url).unwrap().join(&form.action).unwrap().to_string();
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&values).finish();
        let request =
            self.http.post(&url).body(body).header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("cookie", self.cookie()).header("origin", &self.origin);
        let answer = request.header("sec-fetch-site", "same-origin").send().await.unwrap();
        self.page(url, answer).await
    }

    /// Sends a body to a path as it stands.
    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.http.post(format!("{}{path}", self.base)).json(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap_or(Value::Null))
    }

    /// The HTTP client itself, for what these helpers do not do.
    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    fn cookie(&self) -> String {
        let cookies = self.cookies.lock().unwrap();
        cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    async fn page(&self, url: String, answer: reqwest::Response) -> Page {
        for cookie in answer.headers().get_all("set-cookie") {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            let mut cookies = self.cookies.lock().unwrap();
            if value.is_empty() {
                cookies.remove(name)
            } else {
                cookies.insert(name.to_owned(), value.to_owned())
            };
        }
        let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let body = answer.text().await.unwrap();
        self.heard.lock().unwrap().push(body.clone());
        Page { status, url, location, body }
    }
}
