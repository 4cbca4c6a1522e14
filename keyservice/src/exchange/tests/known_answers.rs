//! The key schedule from fixed inputs. The expected values were computed by another implementation (Python's `hmac`
//! and `hashlib`) from the text of the protocol.

use data_encoding::HEXLOWER;
use secrecy::ExposeSecret;

use crate::crypto::Secret;
use crate::exchange::schedule::{
    Identities, LinkRole, LinkSecrets, agree, epoch_keys, fin, transcript_1, transcript_2, transcript_3,
    transcript_4,
};
use crate::exchange::{M1, M2, SUITE_1, VERSION_1, link_id, link_module};
use crate::testing::{NOW, Pair};

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn secret(secret: &Secret) -> String {
    hex(secret.expose_secret())
}

fn m1() -> M1 {
    M1 {
        attempt: 1,
        offer_versions: vec![VERSION_1],
        offer_suites: vec![SUITE_1],
        kid: [0x11; 20],
        public_key: [0x12; 32],
        instance: [2; 16],
        origin: "https://c.example".to_owned(),
        ephemeral: [0x13; 32],
        nonce: [0x14; 32],
    }
}

fn m2() -> M2 {
    M2 {
        attempt: 1,
        version: VERSION_1,
        suite: SUITE_1,
        kid: [0x21; 20],
        public_key: [0x22; 32],
        instance: [1; 16],
        origin: "https://p.example".to_owned(),
        ephemeral: [0x23; 32],
        nonce: [0x24; 32],
        signature: [0x25; 64],
        mac: [0; 32],
    }
}

#[test]
fn the_context_has_the_known_digest_and_link() {
    let context = Pair::new().context;
    assert_eq!(hex(context.digest()), "0566b65e2bb10a9b041d3491f39e21a65089c903211d9fc3fd7a2864ba5761b5");
    assert_eq!(hex(link_id(&context)), "e9fafd442e966a5ec28ab8904e4dce6e");
    assert_eq!(link_module(&link_id(&context)), "links/e9fafd44-2e96-6a5e-c28a-b8904e4dce6e");
}

#[test]
fn the_schedule_gives_the_known_keys() {
    let (m1, mut m2) = (m1(), m2());
    let th1 = transcript_1(&Pair::new().context.digest(), &m1);
    assert_eq!(hex(th1), "30dd47474092e4a813432f759657d0da4f92c61b25f07607c2f3b17f13449a43");
    let th2 = transcript_2(&th1, &m2);
    assert_eq!(hex(th2), "2475c059254cad90c5502230dfc1e33b0847370064b646a8795d103d61010ae3");

    let agreed = agree(&th2, &[0x33; 32]).unwrap();
    assert_eq!(
        secret(&agreed.confirm_provider),
        "c2c9df777c23d2711346c1a42985cc2ba9ee9f70011a24e23b08dbcfee9b16d5"
    );
    assert_eq!(
        secret(&agreed.confirm_consumer),
        "e8082ca25ce5db236cc4231c634e250723e787903b5f5444ff48460aaebc7e93"
    );
    assert_eq!(
        secret(&agreed.pre_master),
        "268ba4e23ad5a9bfb60b56a08bc384c5b29f76f0137689e0ff19e428db47f522"
    );

    let keys = Identities { provider: &m2.public_key, consumer: &m1.public_key };
    let mac = agreed.provider_mac(&th2, &keys, &m2.signature);
    assert_eq!(hex(mac), "ec449c55846ab531d3f1219d8b35844a7093473f97238fa105a7f98bf38cc89f");
    m2.mac = mac;
    let th3 = transcript_3(&th2, &m2);
    assert_eq!(hex(th3), "a1edf3dcfeb535e677fe17bb8943aebe7e7a8977a5b873b54eecd9fb5d6f8da8");
    let keys = Identities { provider: &m2.public_key, consumer: &m1.public_key };
    let mac = agreed.consumer_mac(&th3, &keys, &[0x15; 64]);
    assert_eq!(hex(mac), "28ecacf06d37afed1e982af08c72f3044886fc083c9592782fb2b952d75dd6b9");
    let th4 = transcript_4(&th3, &[0x15; 64], &mac);
    assert_eq!(hex(th4), "15c2dedb0d4215e8ae792ab62b09d31e8b51161e052b7d7eaadf259f42a83eba");

    let (epoch, fin_key) = epoch_keys(LinkRole::Consumer, &th4, &agreed.pre_master, 1).unwrap();
    let expected = [
        (&epoch.consumer_to_provider, "1400ab455e756cff7b09e6fda865fe36ea5ad41f08293cbfbce859759947d126"),
        (&epoch.provider_to_consumer, "c66b9f46660eb8a5ba999ed109124812d56e23ffdf83b4f171a2108f01f9725d"),
        (&epoch.resume, "745ddc4d2a029008711ffc2fa4a7bd396ef313aa5a88cc875d2ae803fb3f53c1"),
        (&epoch.exporter, "12d3166d44a515c0cda449406229983e47a75ec4d7271028feec8a47df688c4c"),
        (&epoch.compare, "8a0b7a13ff487c7b6c0cb15f72a0ae5bdfd161c87eb6c4057ee0cd45d0804ea0"),
    ];
    for (key, value) in expected {
        assert_eq!(secret(key), value);
    }
    assert_eq!(epoch.compare_code(), "7955 0539 1167 3019 1224");
    assert_eq!(
        hex(fin(&fin_key, &th4, 1, NOW)),
        "832e62526068b9e9037a5b9e33fc4883d2ed34af310d402ac3bed6159381f5bb"
    );
}

#[test]
fn link_keys_are_read_back_as_written() {
    let (secrets, _) = epoch_keys(LinkRole::Provider, &[1; 32], &Secret::new(Box::new([2; 32])), 7).unwrap();
    let encoded = secrets.encode();
    let decoded = LinkSecrets::decode(&encoded).unwrap();
    assert_eq!(decoded.role, LinkRole::Provider);
    assert_eq!(decoded.encode(), encoded);
    assert!(LinkSecrets::decode(&encoded[1..]).is_err());
}
