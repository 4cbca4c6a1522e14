//! What is said at the end: where things are, how to sign in, and calls to copy and paste.

use secrecy::ExposeSecret as _;

use super::house::House;
use super::journey::{Arrival, CONSUMER_ADMIN, PROVIDER_ADMIN};
use super::memory::Memory;
use crate::cli::{DemoOptions, out};

pub(super) fn print(
    provider: &House,
    consumer: &House,
    memory: &Memory,
    arrival: &Arrival,
    options: &DemoOptions,
) {
    let (ours, theirs) = (provider.origin.as_str(), consumer.origin.as_str());
    let (for_provider, for_consumer) = (memory.provider_password(), memory.consumer_password());
    out(&format!(
        "
Onboarded, and every direction is up.

           provider                              consumer
address    {ours:<37} {theirs}
sign in    {:<37} {}
password   {:<37} {}
letters    {:<37} {}
database   {:<37} {}

At the provider, {} signs in as the named contact, with a code from a letter.",
        PROVIDER_ADMIN.0,
        CONSUMER_ADMIN.0,
        for_provider.expose_secret(),
        for_consumer.expose_secret(),
        provider.letters().display(),
        consumer.letters().display(),
        database(provider),
        database(consumer),
        CONSUMER_ADMIN.0,
    ));
    if options.exit {
        let dir = options.dir.display();
        out(&format!("\nStopped, as asked (--exit). To keep both running: linkspan demo --dir {dir}"));
        return;
    }
    out("\nCalls to copy and paste; the tokens are made for this demonstration.");
    let connection = "{ connection(id: $id) { stateLabel onboardedAt peer { name origin } \
                      outbound { status roundTripMs } inbound { status roundTripMs } } }";
    call(
        "The provider's view of the connection",
        provider,
        &arrival.provider_token,
        false,
        &format!("query($id: ID!) {connection}"),
        Some(&arrival.provider_connection),
    );
    call(
        "The consumer's view of it",
        consumer,
        &arrival.consumer_token,
        false,
        &format!("query($id: ID!) {connection}"),
        Some(&arrival.consumer_connection),
    );
    let registrations =
        "{ registrations(first: 5) { edges { node { number stateLabel url company { name } } } } }";
    call("The provider's registrations", provider, &arrival.provider_token, false, registrations, None);
    let watch = "subscription($id: ID!) { connectionChanged(id: $id) { cursor connection { state \
                 outbound { status roundTripMs } inbound { status } } } }";
    call(
        "What happens to the connection, live, until Ctrl-C",
        consumer,
        &arrival.consumer_token,
        true,
        watch,
        Some(&arrival.consumer_connection),
    );
    out("\nBoth keep running; Ctrl-C stops them.");
}

fn database(house: &House) -> &str {
    house.config.database.url.trim_start_matches("sqlite:")
}

fn call(what: &str, house: &House, token: &str, live: bool, query: &str, id: Option<&str>) {
    let mut body = serde_json::json!({ "query": query });
    if let Some(id) = id {
        body["variables"] = serde_json::json!({ "id": id });
    }
    let live = if live { "-N -H 'accept: text/event-stream' " } else { "-w '\\n' " };
    let origin = house.origin.as_str();
    out(&format!(
        "\n# {what}\ncurl -s {live}{origin}/graphql \\\n  -H 'authorization: Bearer {token}' \\\n  \
         -H 'content-type: application/json' \\\n  -d '{body}'"
    ));
}
