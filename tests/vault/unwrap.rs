//! What the key service keeps wrapped in the database, unwrapped by whoever has the root key. Written from the description
//! of the formats and not with the key service, which gives no key away.

use std::path::Path;

use keyservice::pae::{hash, pae};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hmac;
use sea_orm::{ConnectionTrait as _, QueryResult, Statement};
use uuid::Uuid;

/// All that an instance keeps secret.
pub(super) struct Kept {
    pub(super) root: Vec<u8>,
    /// By the module; the keys above all others are `hierarchy`.
    pub(super) all: Vec<(String, Vec<u8>)>,
}

/// Unwraps everything in the database of an instance.
pub(super) async fn secrets(directory: &Path) -> Kept {
    let url = format!("sqlite:{}", directory.join("linkspan.db").display());
    let database = sea_orm::Database::connect(url).await.unwrap();
    let ask = async |sql: &str| {
        let statement = Statement::from_string(database.get_database_backend(), sql);
        database.query_all_raw(statement).await.unwrap()
    };
    let root = std::fs::read(directory.join("root.key")).unwrap();
    let instance = ask("select instance_id, hierarchy from instance").await.remove(0);
    let id: Uuid = instance.try_get("", "instance_id").unwrap();
    let sealed: Vec<u8> = instance.try_get("", "hierarchy").unwrap();
    let levels = Hierarchy::open(&root, id.as_bytes(), &sealed);
    let mut all: Vec<(String, Vec<u8>)> =
        levels.every().map(|secret| ("hierarchy".to_owned(), secret)).collect();
    for row in ask("select * from key_version where length(wrapped) > 0").await {
        let module: String = row.try_get("", "module").unwrap();
        let material = levels.unwrap(id.as_bytes(), &module, &row);
        // The keys of a connection are five, behind the letter of the side.
        let length = material.len() % 32;
        all.extend(material[length..].chunks(32).map(|secret| (module.clone(), secret.to_vec())));
    }
    database.close().await.unwrap();
    Kept { root, all }
}

struct Hierarchy {
    instance_root: Vec<u8>,
    integrity: Vec<u8>,
    /// By version.
    encryption: Vec<(u32, Vec<u8>)>,
}

impl Hierarchy {
    /// `2 | generation (8) | recognition (32) | created at (8) | IRK | IHK | count | (version, IKEK)… | seal`, each level
    /// behind its length.
    fn open(root: &[u8], instance: &[u8; 16], sealed: &[u8]) -> Self {
        let rest = &mut &sealed[1 + 8 + 32 + 8..];
        let level = |key: &[u8], name: &str, version: u32, blob: &[u8]| {
            let context = pae(&[b"ks1 hierarchy", instance, name.as_bytes(), &version.to_le_bytes()]);
            open(key, "ks1 hierarchy", &context, blob)
        };
        let instance_root = level(root, "IRK", 1, blob(rest));
        let integrity = level(&instance_root, "IHK", 1, blob(rest));
        let encryption = (0..number(rest))
            .map(|_| {
                let version = number(rest);
                (version, level(&instance_root, "IKEK", version, blob(rest)))
            })
            .collect();
        Self { instance_root, integrity, encryption }
    }

    fn every(&self) -> impl Iterator<Item = Vec<u8>> {
        let encryption = self.encryption.iter().map(|(_, key)| key.clone());
        [self.instance_root.clone(), self.integrity.clone()].into_iter().chain(encryption)
    }

    /// The material of a key: `1 | version of the key encryption key (4) | blob`.
    fn unwrap(&self, instance: &[u8; 16], module: &str, row: &QueryResult) -> Vec<u8> {
        let text = |column: &str| row.try_get::<String>("", column).unwrap();
        let number = |column: &str| row.try_get::<i64>("", column).unwrap().to_le_bytes();
        let wrapped: Vec<u8> = row.try_get("", "wrapped").unwrap();
        let id: Uuid = row.try_get("", "id").unwrap();
        let (header, blob) = wrapped.split_at(5);
        let version = u32::from_le_bytes(header[1..].try_into().unwrap());
        let (_, key) = self.encryption.iter().find(|(known, _)| *known == version).unwrap();
        let bound = hash(&[
            b"ks1 wrap",
            instance,
            id.as_bytes(),
            module.as_bytes(),
            text("purpose").as_bytes(),
            text("algorithm").as_bytes(),
            &number("version"),
            &number("created_at"),
            &[u8::from(row.try_get::<bool>("", "exportable").unwrap())],
        ]);
        open(key, "ks1 wrap", &pae(&[b"ks1 wrap", header, &bound]), blob)
    }
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, left) = rest.split_at(count);
    *rest = left;
    taken
}

fn number(rest: &mut &[u8]) -> u32 {
    u32::from_le_bytes(take(rest, 4).try_into().unwrap())
}

/// Bytes behind their length.
fn blob<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = u64::from_le_bytes(take(rest, 8).try_into().unwrap());
    take(rest, usize::try_from(length).unwrap())
}

/// `salt (32) | ciphertext | tag`, under a key that is used once: HKDF-SHA-256 of the key and the salt (RFC 5869) gives
/// it, and the nonce.
fn open(key: &[u8], label: &str, aad: &[u8], blob: &[u8]) -> Vec<u8> {
    let (salt, ciphertext) = blob.split_at(32);
    let sign = |key: &[u8], parts: &[&[u8]]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        hmac::sign(&key, &parts.concat()).as_ref().to_vec()
    };
    let (prk, info) = (sign(salt, &[key]), pae(&[label.as_bytes()]));
    let first = sign(&prk, &[&info, &[1]]);
    let second = sign(&prk, &[&first, &info, &[2]]);
    let nonce = Nonce::try_assume_unique_for_key(&second[..12]).unwrap();
    let once = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &first).unwrap());
    let mut buffer = ciphertext.to_vec();
    once.open_in_place(nonce, Aad::from(aad), &mut buffer).unwrap().to_vec()
}
