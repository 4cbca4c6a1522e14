//! Keys from the host: whoever has the role, two people where two are needed, and wherever the root key comes from.

use super::*;

#[tokio::test]
async fn keys_are_rotated_beside_a_server_by_whoever_has_the_role_and_on_record() {
    let host = Host::of_a_developer();
    host.person("manager", &["key-manager"]);
    host.person("auditor", &["key-auditor"]);
    host.person("other", &["admin"]);
    let server = host.serve();
    let (now, most) = server.open_files();
    assert_eq!(now, most, "as many files as the system allows");
    let warned = server
        .said
        .iter()
        .any(|line| line.contains("in the environment") && line.contains("for development"));
    assert!(warned && !host.directory.join("data/root.key").exists(), "{:#?}", server.said);
    let root_key = host.checked("root key");
    assert_eq!(root_key["verdict"], "NOTE", "{root_key}");
    assert!(
        root_key["found"].as_str().unwrap().contains("in the variable DEVELOPMENT_ROOT_KEY"),
        "{root_key}"
    );
    assert_eq!(host.checked("key service")["verdict"], "GOOD");
    let client = Client::sign_in(&host, "manager").await;

    let make = [
        "create-module",
        "papers",
        "--purpose",
        "signing",
        "--algorithm",
        "ed25519",
        "--rotate-every",
        "90d",
    ];
    let draft = host.key("manager", &make).ended(0);
    assert!(draft.out.contains("papers is draft"), "{draft:?}");
    let late = host.key("manager", &["publish", "papers", "--expected-revision", "99"]).ended(3);
    assert!(late.err.contains("refused (CONFLICT)"), "{late:?}");
    let early = host.key("manager", &["rotate", "papers"]).ended(3);
    assert!(
        early.err.contains("refused (WRONG_STATE)") && early.err.contains("publish it first"),
        "{early:?}"
    );
    host.key("manager", &["publish", "papers"]).ended(0);
    host.key("manager", &["rotate", "papers"]).ended(0);
    let rotated = host.key("manager", &["rotate", "papers", "--json"]).ended(0).json();
    assert_eq!(rotated["versions"][0]["version"], 2, "{rotated:#}");
    let query = "{ keyModule(name: \"papers\") { rotationPeriod versions { version state } } }";
    let seen = client.query(query).await["keyModule"].clone();
    let versions = json!([{ "version": 2, "state": "ACTIVE" }, { "version": 1, "state": "DEACTIVATED" }]);
    assert_eq!((&seen["versions"], &seen["rotationPeriod"]), (&versions, &json!(7_776_000)));

    for verb in [&["rotate", "papers"][..], &["suspend", "papers", "2", "--reason", "Why not"]] {
        let refused = host.key("other", verb).ended(3);
        assert!(refused.err.contains("refused (NOT_AN_ADMINISTRATOR)"), "{refused:?}");
        assert!(refused.err.contains("key manager"), "it names the role: {refused:?}");
    }
    let json = host.key("other", &["rotate", "papers", "--json"]).ended(3).json();
    assert_eq!(json["refusal"]["code"], "NOT_AN_ADMINISTRATOR", "{json:#}");
    let nobody = host.run(&["key", "rotate", "papers"]).ended(1);
    assert!(nobody.err.contains("--as EMAIL"), "{nobody:?}");
    host.key("stranger", &["list"]).ended(1);
    let named = host.command(&["key", "modules"]).env("LINKSPAN_AS", email("auditor")).output().unwrap();
    assert!(Ran::of(named).ended(0).out.contains("papers"));
    let ours = host.command(&["user", "list"]).env("LINKSPAN_AS", email("auditor")).output().unwrap();
    Ran::of(ours).ended(0);

    let suspended =
        host.key("manager", &["suspend", "papers", "2", "--reason", "A laptop was lost"]).ended(0);
    assert_eq!(suspended.out, "Version 2 of papers is suspended: A laptop was lost\n");
    host.key("manager", &["resume", "papers", "2"]).ended(0);
    let until = ["renew", "papers", "2", "--until", "2099-01-01T00:00:00Z", "--json"];
    let renewed = host.key("manager", &until).ended(0).json()["expiresAt"].clone();
    assert!(renewed.as_str().unwrap().starts_with("2099-01-01T00:00:00"), "{renewed}");
    host.key("manager", &["revoke", "papers", "2", "--reason", "It was found"]).ended(0);
    let listed = host.key("auditor", &["list", "papers"]).ended(0);
    assert!(listed.out.contains("Revoked") && listed.out.contains("It was found"), "{listed:?}");
    let modules = host.key("auditor", &["modules"]).ended(0);
    assert!(modules.out.contains("papers") && modules.out.contains("90d"), "{modules:?}");
    let policies = host.key("auditor", &["policies", "papers"]).ended(0);
    assert!(policies.out.contains("TRACK"), "{policies:?}");
    // More than the API gives at once: of each draft there are four.
    let draft = |n: usize| {
        format!(
            "m{n}: createKeyModule(input: {{ name: \"m{n}\", purpose: \"SIGNING\", algorithm: \"Ed25519\" }}) {{ __typename }}"
        )
    };
    client.query(&format!("mutation {{ {} }}", (0..60).map(draft).collect::<Vec<_>>().join(" "))).await;
    let all = host.key("auditor", &["policies", "--json"]).ended(0).json();
    let last = all.as_array().unwrap().iter().filter(|policy| policy["module"] == "tokens").count();
    assert!(all.as_array().unwrap().len() > 250 && last > 0, "{all:#}");
    let health = host.key("auditor", &["health"]).ended(0);
    assert!(health.out.starts_with("The key service is operational"), "{health:?}");
    assert!(health.out.contains("✓ ROOT_KEY"), "{health:?}");

    trail_is_verified_as_the_help_says(&host);
    let trail = host.run(&["audit", "export"]).ended(0);
    let entry = trail.out.lines().rfind(|line| line.contains("\"key.rotate\"")).unwrap();
    assert!(entry.contains("user:") && entry.contains("origin") && entry.contains("host"), "{entry}");
}

#[tokio::test]
async fn keys_come_leave_and_are_used_on_the_host_as_well() {
    let host = Host::new();
    host.person("manager", &["key-manager"]);
    host.person("second", &["key-manager"]);
    host.person("user", &[]);
    for (name, purpose, algorithm) in [
        ("moves", "SEALING", "A256GCM"),
        ("arrives", "SEALING", "A256GCM"),
        ("deeds", "SIGNING", "Ed25519"),
        ("tags", "AUTHENTICATION", "HMAC-SHA256"),
    ] {
        let make = ["create-module", name, "--purpose", purpose, "--algorithm", algorithm, "--exportable"];
        host.key("manager", &make).ended(0);
        if name == "tags" {
            let specified = host.key("manager", &["specify", name, "--json"]).ended(0).json();
            assert_eq!(specified["exportable"], false, "{specified:#}");
        }
        host.key("manager", &["publish", name]).ended(0);
    }
    let schedule = ["schedule", "tags", "--rotate-every", "90d", "--json"];
    assert_eq!(host.key("manager", &schedule).ended(0).json()["rotationPeriod"], 7_776_000);
    host.key("manager", &["rotate", "moves"]).ended(0);
    let approved = |request: &[&str]| {
        let id =
            host.key("manager", &[&["request"], request, &["--reason", "To move it", "--json"]].concat());
        let id = id.ended(0).json()["id"].as_str().unwrap().to_owned();
        let approve = ["key", "approve", &id, "--password-stdin", "--as", &email("second")];
        host.run_with(&approve, PASSWORD).ended(0);
        id
    };
    let id = approved(&["import", "arrives"]);
    let import = ["key", "--as", &email("manager"), "import", "arrives", "--approval", &id, "--json"];
    let mut import = host.command(&import).spawn().unwrap();
    let mut lines = BufReader::new(import.stdout.take().unwrap());
    let mut offer = String::new();
    lines.read_line(&mut offer).unwrap();
    let offer: Value = serde_json::from_str(&offer).unwrap();
    let told = |name: &str| offer[name].as_str().unwrap().to_owned();
    let (public, aad) = (told("publicKey"), told("associatedData"));
    let to = ["--public-key", &public, "--associated-data", &aad];
    let id = approved(&[&["export", "moves", "--version", "1"][..], &to].concat());
    let elsewhere = ["export", "moves", "1", "--public-key", &public, "--approval", &id];
    let refused = host.key("manager", &elsewhere).ended(3);
    assert!(refused.err.contains("WRONG_STATE"), "approved for another receiver: {refused:?}");
    let package = host.key("manager", &[&["export", "moves", "1"][..], &to, &["--approval", &id]].concat());
    import.stdin.take().unwrap().write_all(package.ended(0).out.as_bytes()).unwrap();
    let mut taken = String::new();
    lines.read_to_string(&mut taken).unwrap();
    assert!(import.wait().unwrap().success(), "{taken}");
    let taken: Value = serde_json::from_str(&taken).unwrap();
    assert_eq!((&taken["version"], &taken["state"]), (&1.into(), &"PRE_ACTIVE".into()), "{taken:#}");
    host.key("manager", &["activate", "arrives", "1"]).ended(0);
    for name in ["deeds", "tags"] {
        host.key("manager", &["generate", name]).ended(0);
        host.key("manager", &["activate", name, "1"]).ended(0);
    }

    // Whoever may use the keys is for their access policies to say.
    let use_as = |arguments: &[&str], input: &str| {
        host.run_with(&[&["key", "--as", &email("user")], arguments].concat(), input)
    };
    let denied = use_as(&["seal", "arrives"], "secret").ended(3);
    let (_, decision) =
        denied.err.split_once("linkspan key explain ").unwrap_or_else(|| panic!("{denied:?}"));
    let decision = decision.split_whitespace().next().unwrap();
    let explained = host.key("manager", &["explain", decision]).ended(0);
    assert!(explained.out.contains("SEAL"), "{explained:?}");
    let mut last = Value::Null;
    for (module, operations) in [("arrives", "seal,open"), ("deeds", "sign,verify"), ("tags", "mac")] {
        let add = ["add-policy", module, "--effect", "track", "--who", "every-person", "--operations"];
        last = host.key("manager", &[&add[..], &[operations, "--json"]].concat()).ended(0).json();
    }
    let policy = last["id"].as_str().unwrap();
    let all = ["--effect", "track", "--who", "every-person", "--operations", "mac,verify-mac"];
    host.key("manager", &[&["change-policy", policy][..], &all].concat()).ended(0);
    let rights = host.key("manager", &["rights", "arrives"]).ended(0);
    assert!(rights.out.contains("SEAL"), "{rights:?}");
    assert!(rights.out.contains("People without a key role"), "{rights:?}");
    let sealed = use_as(&["seal", "arrives", "--about", "field=note"], "secret\n").ended(0).out;
    let opened = use_as(&["open", "arrives", "--about", "field=note"], &sealed).ended(0);
    assert_eq!(opened.out, "secret\n", "as it was");
    use_as(&["open", "arrives", "--about", "field=other"], &sealed).ended(3);
    let signed = use_as(&["sign", "deeds"], "I sell the house").ended(0).out;
    let (version, proof) = signed.trim().split_once(' ').unwrap();
    let verify = ["verify", "deeds", "--version", version, "--proof", proof];
    use_as(&verify, "I sell the house").ended(0);
    use_as(&verify, "I sell the boat").ended(3);
    let tagged = use_as(&["mac", "tags"], "I sell the house").ended(0).out;
    let (version, proof) = tagged.trim().split_once(' ').unwrap();
    use_as(&["verify-mac", "tags", "--version", version, "--proof", proof], "I sell the house").ended(0);
    host.key("manager", &["delete-policy", policy]).ended(0);
    use_as(&["mac", "tags"], "I sell the house").ended(3);
    let retired = host.key("manager", &["deactivate", "tags", "1"]).ended(0);
    assert_eq!(retired.out, "Version 1 of tags is deactivated.\n");
    let health = host.key("manager", &["health", "--recheck"]).ended(0);
    assert!(health.out.starts_with("The key service is operational"), "{health:?}");
}

#[tokio::test]
async fn on_the_host_too_two_people_are_two_and_the_server_goes_on_under_another_root_key() {
    let mut host = Host::new();
    host.person("manager", &["key-manager"]);
    host.person("second", &["key-manager"]);
    let server = host.serve();
    let client = Client::sign_in(&host, "manager").await;
    for verb in [
        &["create-module", "papers", "--purpose", "SIGNING", "--algorithm", "Ed25519"][..],
        &["publish", "papers"],
        &["rotate", "papers"],
        &["compromised", "papers", "1", "--reason", "It was published"],
    ] {
        host.key("manager", verb).ended(0);
    }
    let request = ["request", "destroy", "papers", "--version", "1", "--reason", "Nobody needs it", "--json"];
    let id = host.key("manager", &request).ended(0).json()["id"].as_str().unwrap().to_owned();
    let destroy = ["destroy", "papers", "1", "--approval", &id];
    let early = host.key("manager", &destroy).ended(3);
    assert!(early.err.contains("Waiting for approval"), "{early:?}");
    let approve = ["key", "approve", &id, "--password-stdin", "--as", &email("manager")];
    assert!(host.run_with(&approve, PASSWORD).ended(3).err.contains("Nobody answers their own request"));
    // Whoever is on the host may name anybody, but does not know their password.
    let named = host.key("second", &["approve", &id]).ended(3);
    assert!(named.err.contains("STEP_UP_REQUIRED") && named.err.contains("--password-stdin"), "{named:?}");
    let approve = ["key", "approve", &id, "--password-stdin", "--as", &email("second")];
    host.run_with(&approve, "not the password").ended(1);
    host.run_with(&approve, PASSWORD).ended(0);
    let waits = host.key("manager", &destroy).ended(3);
    assert!(waits.err.contains("The waiting period ends at"), "{waits:?}");
    let listed = host.key("manager", &["approvals", "--state", "approved"]).ended(0);
    assert!(listed.out.contains(&id), "{listed:?}");
    host.key("manager", &["withdraw", &id]).ended(0);
    let id = host.key("manager", &request).ended(0).json()["id"].as_str().unwrap().to_owned();
    let refused = host.key("second", &["refuse", &id, "--reason", "It is needed", "--json"]).ended(0).json();
    assert_eq!(refused["state"], "REFUSED", "{refused:#}");

    let rotated = host.key("manager", &["rotate-key-encryption-key"]).ended(0);
    assert!(rotated.out.starts_with("Key encryption key 2: "), "{rotated:?}");
    let status = host.key("manager", &["rotate-key-encryption-key", "--status", "--json"]).ended(0).json();
    assert_eq!(status["version"], 2, "{status:#}");

    let id = approved_rotation(&host);
    let before = std::fs::read(host.directory.join("data/root.key")).unwrap();
    host.key("manager", &["rotate-root", "--approval", &id]).ended(0);
    assert_ne!(std::fs::read(host.directory.join("data/root.key")).unwrap(), before);
    // The server's own process opens what was stored meanwhile when it is started again.
    server.kill_key_service();
    until_the_keys_are("OPERATIONAL", &client).await;

    // From here on a service manager passes the root key, and the next one when there is one.
    drop(server);
    host.credential("root.key", &std::fs::read(host.directory.join("data/root.key")).unwrap());
    std::fs::remove_file(host.directory.join("data/root.key")).unwrap();
    let credentials = host.directory.join("credentials").display().to_string();
    host.environment.push(("CREDENTIALS_DIRECTORY", credentials));
    let passed = host.checked("root key");
    assert_eq!(
        (&passed["verdict"], &passed["found"]),
        (&json!("GOOD"), &json!("the credential root.key is passed"))
    );
    let id = approved_rotation(&host);
    let alone = host.key("manager", &["rotate-root", "--approval", &id]).ended(3);
    assert!(alone.err.contains("the systemd credential root.key.next"), "{alone:?}");
    // One that is no root key keeps nobody from starting, and is named.
    host.credential("root.key.next", &[7; 31]);
    let next = host.checked("next root key");
    assert_eq!(
        (&next["verdict"], &host.checked("key service")["verdict"]),
        (&json!("WRONG"), &json!("GOOD"))
    );
    let malformed = host.key("manager", &["rotate-root", "--approval", &id]).ended(3);
    assert!(malformed.err.contains("32 bytes or 64 hexadecimal digits"), "{malformed:?}");
    host.credential("root.key.next", &[7; 32]);
    assert_eq!(host.checked("next root key")["verdict"], "NOTE");
    let server = host.serve();
    host.key("manager", &["rotate-root", "--approval", &id]).ended(0);
    // What the service manager passes it does not pass anew: until the next start both are there.
    let client = Client::sign_in(&host, "manager").await;
    server.kill_key_service();
    until_the_keys_are("DEGRADED", &client).await;
    let health = host.key("manager", &["health"]).ended(4);
    assert!(
        health.out.contains("! ROOT_KEY") && health.out.contains("credential:root.key.next"),
        "{health:?}"
    );
    drop(server);
    let unspent = approved_rotation(&host);
    let same = host.key("manager", &["rotate-root", "--approval", &unspent]).ended(3);
    assert!(
        same.err.contains("is the one in use") && same.err.contains("First pass it as root.key"),
        "{same:?}"
    );
    host.credential("root.key", &[7; 32]);
    std::fs::remove_file(host.directory.join("credentials/root.key.next")).unwrap();
    assert_eq!(host.checked("key service")["verdict"], "GOOD");
    host.credential("root.key", &[8; 31]);
    assert_eq!(host.checked("root key")["verdict"], "WRONG");
    host.credential("root.key", &[8; 32]);
    assert_eq!(host.checked("key service")["verdict"], "WRONG");
}

/// A request for the rotation of the root key, approved by a second person.
fn approved_rotation(host: &Host) -> String {
    let request = ["request", "rotate-root", "--reason", "A year is over", "--json"];
    let id = host.key("manager", &request).ended(0).json()["id"].as_str().unwrap().to_owned();
    host.run_with(&["key", "approve", &id, "--password-stdin", "--as", &email("second")], PASSWORD).ended(0);
    id
}

/// That the server's key service is there again, with this status.
async fn until_the_keys_are(status: &str, client: &Client) {
    for _ in 0..400 {
        let health = client.query("{ keyHealth { status components { name status } } }").await;
        if health["keyHealth"]["components"].as_array().is_some_and(|all| all.len() > 1)
            && health["keyHealth"]["status"] == status
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the key service of the server does not come back");
}

#[test]
fn every_verb_of_the_command_for_keys_is_run_by_one_of_these_tests() {
    let help = Host::bare().run(&["key", "--help"]).ended(0).out;
    let (_, verbs) = help.split_once("Commands:\n").unwrap();
    let verbs = verbs.lines().take_while(|line| !line.is_empty());
    // Of a verb that takes more lines than one, the others are further in.
    let verbs = verbs.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    let verbs: Vec<&str> = verbs.map(|line| line.split_whitespace().next().unwrap()).collect();
    assert!(verbs.len() > 30, "{verbs:?}");
    let (here, _) = include_str!("keys.rs").split_once("fn every_verb_of_the_command").unwrap();
    let missing: Vec<_> =
        verbs.iter().filter(|verb| **verb != "help" && !here.contains(&format!("\"{verb}\""))).collect();
    assert!(missing.is_empty(), "never run: {missing:?}");
}
