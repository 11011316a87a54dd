//! Endorsement paths: each rule by a chain that breaks it alone, and our verdict beside that of
//! `openssl verify` on the same chains. openssl not being there is a failure.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::process::Command;

use common::{device, now, rng, vendor};
use jiff::{SignedDuration, Timestamp};
use rand_chacha::rand_core::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256, SubjectPublicKeyInfo,
    date_time_ymd,
};
use sealsum_attest::certificate::chain_from_pem;
use sealsum_attest::endorsement::{AnchorError, Anchors, PATH_MAX, trim_nv_padding, validate};
use sealsum_attest::refusals::{self as checks, Check};
use tempfile::TempDir;

/// A certificate authority of a test chain.
struct Ca {
    der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

fn p256_key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

impl Ca {
    fn root(params: CertificateParams, key: KeyPair) -> Self {
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { der, issuer: issuer(params, key) }
    }

    fn below(&self, params: CertificateParams, key: KeyPair) -> Self {
        let der = params.signed_by(&key, &self.issuer).unwrap().der().to_vec();
        Self { der, issuer: issuer(params, key) }
    }

    fn leaf(&self, params: &CertificateParams) -> Vec<u8> {
        let (_, _, spki) = device::endorsement_key(p256_algorithm(), &mut rng(1));
        let key = SubjectPublicKeyInfo::from_der(&spki).unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().to_vec()
    }
}

/// rcgen refuses to issue by a key that may not; a forger would not care.
fn issuer(mut params: CertificateParams, key: KeyPair) -> Issuer<'static, KeyPair> {
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Issuer::new(params, key)
}

fn p256_algorithm() -> sealsum_attest::templates::EkAlgorithm {
    sealsum_attest::templates::EkAlgorithm::P256
}

fn ca_params(name: &str, bend: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = vendor::authority(name);
    bend(&mut params);
    params
}

fn leaf_params(bend: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = vendor::endorsement("id:53544D20");
    bend(&mut params);
    params
}

fn root() -> Ca {
    Ca::root(vendor::authority("root"), p256_key())
}

fn critical(oid: &[u64], value: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, value.to_vec());
    extension.set_criticality(true);
    extension
}

fn expired(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2026, 11, 1);
}

fn not_yet(params: &mut CertificateParams) {
    params.not_before = date_time_ymd(2026, 12, 1);
}

/// A leaf, the certificates sent with it, and the anchors installed.
struct Chain {
    leaf: Vec<u8>,
    sent: Vec<Vec<u8>>,
    anchors: Vec<Vec<u8>>,
    /// The moment of validation.
    at: Timestamp,
}

impl Chain {
    /// The anchor is the first authority; the others are sent.
    fn new(authorities: &[&Ca], leaf: Vec<u8>) -> Self {
        let ders: Vec<_> = authorities.iter().map(|ca| ca.der.clone()).collect();
        Self { leaf, sent: ders[1..].to_vec(), anchors: ders[..1].to_vec(), at: now() }
    }

    fn ours(&self) -> Result<(), Check> {
        let anchors = match Anchors::from_der(&self.anchors) {
            Ok(anchors) => anchors,
            Err(AnchorError::Certificate { .. }) => return Err(checks::UNKNOWN_ROOT),
            Err(other) => panic!("{other}"),
        };
        validate(&self.leaf, &self.sent, &anchors, self.at).map(|_| ()).map_err(|r| r.check)
    }

    fn openssl(&self) -> bool {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        write_pem(&path("leaf"), std::slice::from_ref(&self.leaf));
        write_pem(&path("sent"), &self.sent);
        write_pem(&path("anchors"), &self.anchors);
        let mut command = Command::new("openssl");
        command.args(["verify", "-no-CAfile", "-no-CApath", "-no-CAstore", "-partial_chain"]);
        command.args(["-auth_level", "2", "-verify_depth", &(PATH_MAX - 2).to_string()]);
        command.args(["-attime", &self.at.as_second().to_string()]);
        command.arg("-CAfile").arg(path("anchors"));
        if !self.sent.is_empty() {
            command.arg("-untrusted").arg(path("sent"));
        }
        let output = command.arg(path("leaf")).output().expect("openssl is needed for this test");
        output.status.success()
    }

    /// Our verdict is `ours`, and openssl accepts if and only if it says so.
    fn expect(&self, name: &str, ours: Result<(), Check>, openssl: bool) {
        assert_eq!(self.ours(), ours, "{name}");
        assert_eq!(self.openssl(), openssl, "{name}: openssl");
    }

    fn accepted(&self, name: &str) {
        self.expect(name, Ok(()), true);
    }

    fn refused(&self, name: &str, check: Check) {
        self.expect(name, Err(check), false);
    }

    /// Refused by us although a general-purpose validator would not mind.
    fn stricter(&self, name: &str, check: Check) {
        self.expect(name, Err(check), true);
    }
}

fn write_pem(path: &Path, certificates: &[Vec<u8>]) {
    use der::EncodePem;
    use der::pem::LineEnding;
    use x509_cert::Certificate;
    let pem = certificates.iter().map(|der| {
        let certificate = <Certificate as der::Decode>::from_der(der).unwrap();
        certificate.to_pem(LineEnding::LF).unwrap()
    });
    std::fs::write(path, pem.collect::<String>()).unwrap();
}

#[test]
fn good_chains() {
    let root = root();
    Chain::new(&[&root], root.leaf(&leaf_params(|_| ()))).accepted("issued by a root");
    let middle = root.below(vendor::authority("middle"), p256_key());
    let leaf = middle.leaf(&leaf_params(|_| ()));
    let chain = Chain::new(&[&root, &middle], leaf.clone());
    chain.accepted("issued by an intermediate");
    let anchored = Chain { leaf, sent: vec![], anchors: vec![middle.der.clone()], at: now() };
    anchored.accepted("an intermediate as the anchor");

    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let root = Ca::root(vendor::authority("P-384 root"), p384);
    Chain::new(&[&root], root.leaf(&leaf_params(|_| ()))).accepted("issued by P-384");
    let root = Ca::root(vendor::authority("RSA root"), rsa_pair());
    Chain::new(&[&root], root.leaf(&leaf_params(|_| ()))).accepted("issued by RSA-2048");
}

fn rsa_pair() -> KeyPair {
    use rsa::pkcs8::EncodePrivateKey;
    let pkcs8 = device::rsa_key().to_pkcs8_der().unwrap();
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.as_bytes().into(), &PKCS_RSA_SHA256).unwrap()
}

#[test]
fn depth_and_path_length() {
    let mut authorities = vec![root()];
    for depth in 0..4 {
        let top = authorities.last().unwrap();
        let next = top.below(vendor::authority(&format!("level {depth}")), p256_key());
        authorities.push(next);
    }
    let chain = |count: usize| {
        let authorities: Vec<&Ca> = authorities[..count].iter().collect();
        Chain::new(&authorities, authorities[count - 1].leaf(&leaf_params(|_| ())))
    };
    chain(PATH_MAX - 1).accepted("five certificates");
    chain(PATH_MAX).refused("six certificates", checks::UNKNOWN_ROOT);

    let limited = |limit| {
        let params = ca_params("limited", |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(limit));
        });
        let root = Ca::root(params, p256_key());
        let middle = root.below(vendor::authority("middle"), p256_key());
        Chain::new(&[&root, &middle], middle.leaf(&leaf_params(|_| ())))
    };
    limited(1).accepted("pathLen 1 with one below");
    limited(0).refused("pathLen 0 with one below", checks::CERTIFICATE_PURPOSE);
}

#[test]
fn issuers_that_are_no_authority() {
    let root = root();
    let bent = |bend: fn(&mut CertificateParams)| {
        let middle = root.below(ca_params("middle", bend), p256_key());
        Chain::new(&[&root, &middle], middle.leaf(&leaf_params(|_| ())))
    };
    let check = checks::CERTIFICATE_PURPOSE;
    bent(|p| p.is_ca = IsCa::ExplicitNoCa).refused("cA false", check);
    bent(|p| p.is_ca = IsCa::NoCa).refused("no basicConstraints", check);
    bent(|p| p.key_usages = vec![KeyUsagePurpose::DigitalSignature]).refused("keyUsage", check);
    bent(|p| p.key_usages = vec![]).accepted("no keyUsage at all");
}

#[test]
fn validity_of_each_certificate() {
    let check = checks::VALIDITY;
    for (when, bend) in [("expired", expired as fn(&mut _)), ("not yet", not_yet)] {
        let good = root();
        Chain::new(&[&good], good.leaf(&leaf_params(bend))).refused(when, check);
        let middle = good.below(ca_params("middle", bend), p256_key());
        let chain = Chain::new(&[&good, &middle], middle.leaf(&leaf_params(|_| ())));
        chain.refused(when, check);
        let root = Ca::root(ca_params("root", bend), p256_key());
        Chain::new(&[&root], root.leaf(&leaf_params(|_| ()))).refused(when, check);
    }
}

#[test]
fn c06_critical_extensions() {
    const UNKNOWN: &[u64] = &[1, 3, 6, 1, 4, 1, 32473, 1];
    const POLICIES: &[u64] = &[2, 5, 29, 32];
    // certificatePolicies of the one policy 1.3.6.1.4.1.32473.2
    let policies = [0x30, 0x0d, 0x30, 0x0b, 0x06, 0x09, 0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 0x02];
    let root = root();
    let middle = |extension: CustomExtension| {
        let params = ca_params("middle", |p| p.custom_extensions.push(extension));
        let middle = root.below(params, p256_key());
        Chain::new(&[&root, &middle], middle.leaf(&leaf_params(|_| ())))
    };
    let leaf =
        |bend: &dyn Fn(&mut CertificateParams)| Chain::new(&[&root], root.leaf(&leaf_params(bend)));
    let check = checks::CRITICAL_EXTENSION;
    middle(critical(UNKNOWN, &[5, 0])).refused("unknown in an intermediate", check);
    leaf(&|p| p.custom_extensions.push(critical(UNKNOWN, &[5, 0]))).refused("in the leaf", check);
    middle(critical(POLICIES, &policies)).accepted("certificatePolicies in an intermediate");
    leaf(&|p| p.custom_extensions.push(critical(POLICIES, &policies))).accepted("in the leaf");
    let harmless = CustomExtension::from_oid_content(UNKNOWN, vec![5, 0]);
    leaf(&|p| p.custom_extensions.push(harmless.clone())).accepted("unknown, not critical");
    let dns_name = critical(&[2, 5, 29, 17], &[0x30, 3, 0x82, 1, b'a']);
    leaf(&|p| p.custom_extensions = vec![dns_name.clone()]).stricter("critical DNS name", check);
}

#[test]
fn leaves_for_another_purpose() {
    let root = root();
    let leaf =
        |bend: &dyn Fn(&mut CertificateParams)| Chain::new(&[&root], root.leaf(&leaf_params(bend)));
    let check = checks::CERTIFICATE_PURPOSE;
    leaf(&|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)).stricter("a CA leaf", check);
    leaf(&|p| p.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth])
        .stricter("another extended key usage", check);
    leaf(&|p| p.extended_key_usages = vec![]).accepted("no extended key usage");
}

#[test]
fn signatures_by_another_key() {
    let (real, fake) = (root(), root());
    let leaf = fake.leaf(&leaf_params(|_| ()));
    let check = checks::UNKNOWN_ROOT;
    let impostor = Chain { leaf, sent: vec![], anchors: vec![real.der.clone()], at: now() };
    impostor.refused("same name, another key", check);
    let mut leaf = real.leaf(&leaf_params(|_| ()));
    *leaf.last_mut().unwrap() ^= 1;
    Chain::new(&[&real], leaf).refused("a bent signature", check);
    let nobody =
        Chain { leaf: real.leaf(&leaf_params(|_| ())), sent: vec![], anchors: vec![], at: now() };
    assert_eq!(nobody.ours(), Err(check));
    let sent = Chain { sent: vec![real.der.clone()], anchors: vec![root().der], ..nobody };
    sent.refused("a root that was only sent", check);
}

#[test]
fn two_anchors_of_one_name() {
    let (real, other) = (root(), root());
    let leaf = real.leaf(&leaf_params(|_| ()));
    for anchors in [vec![&real, &other], vec![&other, &real]] {
        let anchors = anchors.iter().map(|ca| ca.der.clone()).collect();
        let chain = Chain { leaf: leaf.clone(), sent: vec![], anchors, at: now() };
        assert_eq!(chain.ours(), Ok(()));
    }
}

#[test]
fn certificates_that_vouch_for_each_other() {
    let (a, b) = (Ca::root(vendor::authority("a"), p256_key()), root());
    let a_by_b = b.below(vendor::authority("a"), p256_key());
    let b_by_a = a.below(vendor::authority("root"), p256_key());
    let leaf = a_by_b.leaf(&leaf_params(|_| ()));
    let sent = vec![a_by_b.der, b_by_a.der, a.der, b.der];
    let c = Ca::root(vendor::authority("c"), p256_key());
    let chain = Chain { leaf, sent, anchors: vec![c.der], at: now() };
    chain.refused("a circle", checks::UNKNOWN_ROOT);
}

/// What rcgen cannot make, openssl does: SHA-1 signatures, RSA of 1024 bits or with exponent 3,
/// P-521, version 1. It dates everything today, so these chains are judged at an hour from now.
struct Forge(TempDir);

impl Forge {
    fn openssl(&self, line: &str, arguments: &[&str]) {
        let output = Command::new("openssl")
            .current_dir(self.0.path())
            .args(line.split_whitespace())
            .args(arguments)
            .output()
            .expect("openssl is needed for this test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A chain of a root and a leaf by it: `key` makes the root's key, the hashes sign each.
    fn chain(&self, key: &str, root_hash: &str, leaf_hash: &str, extensions: &str) -> Chain {
        let (_, _, spki) = device::endorsement_key(p256_algorithm(), &mut rng(1));
        let path = |name: &str| self.0.path().join(name);
        std::fs::write(path("ek.der"), spki).unwrap();
        std::fs::write(path("extensions"), extensions).unwrap();
        self.openssl(key, &["-out", "root.key"]);
        self.openssl(
            "req -x509 -new -key root.key -days 3650 -subj /CN=forged -outform DER -out root \
             -addext keyUsage=critical,keyCertSign",
            &[root_hash],
        );
        self.openssl(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out request.key",
            &[],
        );
        self.openssl("req -new -subj /CN=ek -key request.key -out request", &[]);
        self.openssl(
            "x509 -req -in request -days 3650 -set_serial 7 -CA root -CAform DER -CAkey root.key \
             -force_pubkey ek.der -keyform DER -extfile extensions -outform DER -out leaf",
            &[leaf_hash],
        );
        let read = |name| std::fs::read(path(name)).unwrap();
        let at = Timestamp::now() + SignedDuration::from_hours(1);
        Chain { leaf: read("leaf"), sent: vec![], anchors: vec![read("root")], at }
    }
}

#[test]
fn c08_weak_keys_and_hashes() {
    const V3: &str = "basicConstraints=CA:FALSE";
    let forge = Forge(TempDir::new().unwrap());
    let rsa = |bits: u32| format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits}");
    let chain = |key: &str, root, leaf| forge.chain(key, root, leaf, V3);
    chain(&rsa(2048), "-sha256", "-sha256").accepted("RSA-2048");
    chain(&rsa(2048), "-sha256", "-sha384").accepted("SHA-384");
    chain(&rsa(2048), "-sha256", "-sha512").accepted("SHA-512");
    chain(&rsa(2048), "-sha1", "-sha256").accepted("a root that signed itself with SHA-1");
    chain(&rsa(2048), "-sha256", "-sha1").refused("a leaf with SHA-1", checks::EK_STRENGTH);
    let p256 = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256";
    chain(p256, "-sha256", "-sha1").refused("a leaf with SHA-1", checks::EK_STRENGTH);
    // Unusable anchors are refused when they are installed.
    chain(&rsa(1024), "-sha256", "-sha256").refused("RSA-1024", checks::UNKNOWN_ROOT);
    let cubic = format!("{} -pkeyopt rsa_keygen_pubexp:3", rsa(2048));
    chain(&cubic, "-sha256", "-sha256").stricter("exponent 3", checks::UNKNOWN_ROOT);
    let p521 = "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-521";
    chain(p521, "-sha256", "-sha512").stricter("P-521", checks::UNKNOWN_ROOT);
    let first = forge.chain(p256, "-sha256", "-sha256", "");
    first.stricter("version 1", checks::CERTIFICATE_FORM);
}

/// One random chain: up to four authorities, each with at most one random defect.
fn random_chain(random: &mut impl Rng) -> Chain {
    let mut authorities = Vec::<Ca>::new();
    for level in 0..=random.next_u32() % 4 {
        let params = ca_params(&format!("level {level}"), |p| bend(p, random.next_u32() % 24));
        let key = match random.next_u32() % 3 {
            0 => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
            1 if level == 0 => rsa_pair(),
            _ => p256_key(),
        };
        authorities.push(match authorities.last() {
            None => Ca::root(params, key),
            Some(above) => above.below(params, key),
        });
    }
    let params = leaf_params(|p| bend(p, random.next_u32() % 24));
    let leaf = authorities[authorities.len() - 1].leaf(&params);
    let mut chain = Chain::new(&authorities.iter().collect::<Vec<_>>(), leaf);
    match random.next_u32() % 12 {
        0 if !chain.sent.is_empty() => drop(chain.sent.pop()),
        1 => chain.sent.reverse(),
        2 => chain.anchors = vec![root().der],
        _ => (),
    }
    chain
}

fn bend(params: &mut CertificateParams, defect: u32) {
    let unknown: &[u64] = &[1, 3, 6, 1, 4, 1, 32473, 1];
    match defect {
        0 => params.is_ca = IsCa::ExplicitNoCa,
        1 => params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)),
        2 => params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1)),
        3 => params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
        4 => expired(params),
        5 => not_yet(params),
        6 => params.custom_extensions.push(critical(unknown, &[5, 0])),
        7 => params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth],
        _ => (),
    }
}

#[test]
fn we_are_never_more_lenient_than_openssl() {
    let mut random = rng(509);
    let (mut both_accept, mut both_refuse) = (0, 0);
    for round in 0..150 {
        let chain = random_chain(&mut random);
        match (chain.ours(), chain.openssl()) {
            (Ok(()), true) => both_accept += 1,
            (Err(_), false) => both_refuse += 1,
            // openssl is asked about the path alone, not about the purpose of the leaf.
            (Err(check), true) if check == checks::CERTIFICATE_PURPOSE => (),
            (ours, theirs) => panic!("chain {round}: ours {ours:?}, openssl {theirs}"),
        }
    }
    assert!(both_accept > 20 && both_refuse > 20, "{both_accept} and {both_refuse}");
}

#[test]
fn what_a_certificate_says_about_its_tpm() {
    let root = root();
    let anchors = Anchors::from_der(&[&root.der]).unwrap().with_software(&[&root.der]).unwrap();
    for (manufacturer, software) in [("id:53544D20", false), ("id:00001014", true)] {
        let leaf = root.leaf(&vendor::endorsement(manufacturer));
        let none: [&[u8]; 0] = [];
        let endorsement = validate(&leaf, &none, &anchors, now()).unwrap();
        assert_eq!(endorsement.manufacturer.as_deref(), Some(manufacturer));
        assert_eq!(endorsement.model.as_deref(), Some("model"));
        assert_eq!(endorsement.version.as_deref(), Some("id:20191023"));
        assert_eq!(endorsement.software, software);
        assert_eq!(endorsement.anchor, "CN=root");
    }
}

#[test]
fn c04_padding_of_an_nv_index() {
    let root = root();
    let leaf = root.leaf(&leaf_params(|_| ()));
    let padded = |padding: &[u8]| [&leaf[..], padding].concat();
    for padding in [&[][..], &[0; 100], &[0xff; 100]] {
        assert_eq!(trim_nv_padding(&padded(padding)).unwrap(), leaf);
    }
    for junk in [&[1][..], &[0, 0xff], &[0xff, 0xff, 0x30]] {
        let refusal = trim_nv_padding(&padded(junk)).unwrap_err();
        assert_eq!(refusal.check, checks::CERTIFICATE_FORM);
    }
    for short in [0, 1, 3, 4, leaf.len() - 1] {
        assert!(trim_nv_padding(&leaf[..short]).is_err());
    }
}

/// Certificates that swtpm made: SubjectDirectoryAttributes, an end in the year 9999, an RSA-3072
/// issuer without extended key usage.
#[test]
fn certificates_made_by_swtpm() {
    let moment = "2026-12-01T00:00:00Z".parse().unwrap();
    let issuer = chain_from_pem(include_str!("vectors/swtpm-issuer.pem")).unwrap();
    let root = chain_from_pem(include_str!("vectors/swtpm-root.pem")).unwrap();
    let root = Anchors::default().with_software(&root).unwrap();
    let rsa = &include_bytes!("vectors/swtpm-ek-rsa2048.der")[..];
    let p384 = &include_bytes!("vectors/swtpm-ek-p384.der")[..];
    for leaf in [rsa, p384] {
        let endorsement = validate(leaf, &issuer, &root, moment).unwrap();
        assert!(endorsement.software);
        assert_eq!(endorsement.model.as_deref(), Some("swtpm"));
        let short = Anchors::default().with_software(&issuer).unwrap();
        let none: [&[u8]; 0] = [];
        assert!(validate(leaf, &none, &short, moment).is_ok());
        let refusal = validate(leaf, &none, &root, moment).unwrap_err();
        assert_eq!(refusal.check, checks::UNKNOWN_ROOT);
    }
}
