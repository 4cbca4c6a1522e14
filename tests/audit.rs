//! The audit trail as an auditor sees it: an export, public keys, and what another organisation kept.

use keyservice::audit::{Entry, Fault, FirstBad, GENESIS, Verified, Witness};
use keyservice::checkpoint::{Note, VerifyingKey};
use linkspan::actions::Call;
use linkspan::actions::audit::export::{ExportError, verify};
use serde_json::Value;

use crate::harness::{Database, Instance, Pair};

async fn checkpoint(instance: &Instance) {
    let actions = instance.app().actions();
    let call = Call::system(actions.fresh_trace());
    actions.checkpoint(&call).await.unwrap();
}

async fn export(instance: &Instance) -> String {
    let mut file = Vec::new();
    instance.app().actions().export_audit(&mut file).await.unwrap();
    String::from_utf8(file).unwrap()
}

async fn keys(instance: &Instance) -> Vec<VerifyingKey> {
    instance.app().actions().audit_keys().await.unwrap()
}

fn verified(file: &str, keys: &[VerifyingKey], elsewhere: &[Note]) -> Result<Verified, FirstBad> {
    match verify(file.as_bytes(), keys, elsewhere) {
        Ok(chained) => Ok(chained.verified),
        Err(ExportError::Bad(bad)) => Err(bad),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_were_edited_swapped_deleted_or_restored_are_named_by_the_verification() {
    for database in Database::available() {
        let pair = Pair::start(database).await;
        let admin = pair.provider_admin().await;
        let provider = &pair.provider;
        pair.make_ready(&admin).await;
        checkpoint(provider).await;
        let keys = keys(provider).await;
        let honest = export(provider).await;
        let Verified { entries, signed, .. } = verified(&honest, &keys, &[]).unwrap();
        assert!(entries >= 6 && signed == entries, "{entries} entries, {signed} signed");

        provider.tamper("create table untouched as select * from audit").await;
        let last = entries;
        let cases: [(&str, u64, Fault); 7] = [
            ("update audit set result = 'X' where n = 3", 3, Fault::Edited),
            ("update audit set details = '{\"a\":1}' where n = 4", 4, Fault::Edited),
            ("update audit set role = 'ADMIN' where n = 2", 2, Fault::Edited),
            // An older copy of another row, moved here.
            ("delete from audit where n = 5; update audit set n = 5 where n = 6", 5, Fault::Edited),
            (
                "update audit set n = -n where n in (2, 3); update audit set n = 5 + n where n in (-2, -3)",
                2,
                Fault::Edited,
            ),
            ("delete from audit where n in (3, 4)", 3, Fault::Removed),
            ("delete from audit where n >= 5", 5, Fault::Truncated { size: last, witness: Witness::Own }),
        ];
        for (sql, n, what) in cases {
            provider.tamper(sql).await;
            assert_eq!(verified(&export(provider).await, &keys, &[]), Err(FirstBad { n, what }), "{sql}");
            provider.tamper("delete from audit; insert into audit select * from untouched").await;
        }
        assert!(verified(&export(provider).await, &keys, &[]).is_ok(), "restored whole, it verifies again");
    }
}

/// An entry as it stands in an export.
pub(crate) fn entry(row: &Value) -> Entry {
    let text = |name: &str| row[name].as_str().unwrap().to_owned();
    let macs = row["sensitive"].as_array().unwrap().iter().map(|pair| {
        let mac = data_encoding::HEXLOWER.decode(pair[1].as_str().unwrap().as_bytes()).unwrap();
        (pair[0].as_str().unwrap().to_owned(), mac.try_into().unwrap())
    });
    Entry {
        n: row["n"].as_u64().unwrap(),
        at: row["at"].as_i64().unwrap(),
        actor: text("actor"),
        role: text("role"),
        on_behalf_of: text("on_behalf_of"),
        operation: text("operation"),
        object_kind: text("object_kind"),
        object_id: text("object_id"),
        result: text("result"),
        trace: text("trace"),
        details: text("details"),
        sensitive: macs.collect(),
    }
}

/// A trail in which the entry's actor is another, with every hash made anew from there on.
fn forged(file: &str, at: u64, keep: impl Fn(&Value) -> bool) -> String {
    let mut head = GENESIS;
    let mut lines = Vec::new();
    for line in file.lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        if !keep(&line) {
            continue;
        }
        if let Some(row) = line.get_mut("entry") {
            if row["n"] == at {
                row["actor"] = "user:nobody".into();
            }
            let entry = entry(row);
            head = entry.hash(&head);
            row["hash"] = data_encoding::HEXLOWER.encode(&head).into();
        }
        lines.push(line.to_string());
    }
    lines.join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_peer_kept_shows_a_truncation_and_a_rewriting_that_the_trail_itself_does_not() {
    let database = Database::available()[0];
    let pair = Pair::start(database).await;
    let admin = pair.provider_admin().await;
    let ready = pair.make_ready(&admin).await;
    pair.register(&admin, &ready).await;
    let consumer = pair.consumer_admin().await;
    let connection = pair.open_link(&consumer, &pair.link_in_letter()).await;
    pair.get_started(&consumer, &connection).await;
    pair.onboard(&consumer, &connection).await;
    // A checkpoint within a minute, and a probe with it soon after.
    pair.advance(65).await;
    for _ in 0..4 {
        pair.advance(6).await;
    }

    let (ours, theirs) = (keys(&pair.provider).await, keys(&pair.consumer).await);
    let all = [ours.clone(), theirs].concat();
    let file = export(&pair.provider).await;
    let kept = pair.consumer.app().actions().kept_checkpoints().await.unwrap();
    assert_eq!(kept.len(), 1, "the consumer keeps the provider's newest checkpoint");
    assert_eq!(kept[0].verified_by(&all).count(), 2, "signed by one, countersigned by the other");
    let honest = verified(&file, &all, &kept).unwrap();
    assert!(honest.witnessed > 0 && honest.witnessed <= honest.signed, "{honest:?}");
    // The countersignature came back, so the export says by itself what another keeps.
    assert_eq!(verified(&file, &all, &[]), Ok(honest));

    let entries = |line: &Value| line.get("entry").map(|entry| entry["n"].as_u64().unwrap());
    let is_checkpoint = |line: &Value| line.get("checkpoint").is_some();
    let short = forged(&file, 0, |line| !is_checkpoint(line) && entries(line).is_none_or(|n| n <= 5));
    assert!(verified(&short, &all, &[]).is_ok(), "without checkpoints, a cut-off trail looks whole");
    let what = Fault::Truncated { size: honest.witnessed, witness: Witness::Other };
    assert_eq!(verified(&short, &all, &kept), Err(FirstBad { n: 6, what }));

    let anew = forged(&file, 3, |line| !is_checkpoint(line));
    assert!(verified(&anew, &all, &[]).is_ok(), "without checkpoints, a forged chain looks whole");
    let what = Fault::Rewritten { until: honest.witnessed, witness: Witness::Other };
    assert_eq!(verified(&anew, &all, &kept), Err(FirstBad { n: 1, what }));
    let own = forged(&file, 3, |_| true);
    assert!(
        matches!(verified(&own, &ours, &[]), Err(FirstBad { what: Fault::Rewritten { .. }, .. })),
        "the instance's own signatures show a forger who does not hold the key"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_whose_trail_became_shorter_is_not_countersigned_and_noticed() {
    let mut pair = Pair::start(Database::available()[0]).await;
    let admin = pair.provider_admin().await;
    let ready = pair.make_ready(&admin).await;
    pair.register(&admin, &ready).await;
    let consumer = pair.consumer_admin().await;
    let connection = pair.open_link(&consumer, &pair.link_in_letter()).await;
    pair.get_started(&consumer, &connection).await;
    pair.onboard(&consumer, &connection).await;
    pair.advance(65).await;
    for _ in 0..4 {
        pair.advance(6).await;
    }
    let before = pair.consumer.app().actions().kept_checkpoints().await.unwrap();

    // The provider's trail as it would be after an old backup was restored: shorter, and signed anew. Back to when
    // the connection had just got its key: without the entry about it, the key would not be used at all.
    pair.provider.kill().await;
    pair.provider
        .tamper(
            "delete from audit_checkpoint; delete from audit_witness;
             delete from audit where n > (select max(n) from audit where object_kind = 'KEY');
             update head set audit_n = (select max(n) from audit),
                 audit_hash = (select hash from audit order by n desc limit 1)",
        )
        .await;
    pair.provider.start(None).await;
    pair.advance(65).await;
    for _ in 0..4 {
        pair.advance(6).await;
    }
    let noticed = "audit where operation = 'audit.witness' and result = 'CONTRADICTION'";
    assert_eq!(pair.consumer.rows(noticed).await, 1, "said once");
    assert_eq!(
        pair.consumer.app().actions().kept_checkpoints().await.unwrap(),
        before,
        "the old one is kept"
    );
    assert_eq!(
        pair.provider.rows("audit_witness where ours > 0").await,
        0,
        "the short one is not countersigned"
    );
}
