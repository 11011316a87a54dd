use super::*;
use rcgen::{CertificateParams, KeyPair, SanType};
use sealsum_attest::certificate::PublicKey;
use sealsum_attest::ids::DeviceId;

fn config() -> VaultConfig {
    toml::from_str(
        "url = \"https://vault.example:8200\"\ntls_ca = \"ca.pem\"\ntoken = \"no-such-token\"",
    )
    .unwrap()
}

#[test]
fn a_configuration_is_checked_before_anybody_is_asked() {
    let refused = |change: &dyn Fn(&mut VaultConfig)| {
        let mut config = config();
        change(&mut config);
        config.check().map_err(|(key, _)| key)
    };
    assert_eq!(refused(&|_| {}), Ok(()));
    for url in ["http://v:8200", "https://", "v:8200", "https://v/ui", "https://u@v"] {
        assert_eq!(refused(&|config| config.url = url.into()), Err("ca.url"), "{url}");
    }
    for path in ["", "/pki", "pki/", "a/../b", "a?b", "a b"] {
        assert_eq!(refused(&|config| config.mount = path.into()), Err("ca.mount"), "{path}");
        let role = refused(&|config| config.device_role = path.into());
        assert_eq!(role, Err("ca.device_role"), "{path}");
    }
    assert_eq!(refused(&|config| config.mount = "team/pki_v2".into()), Ok(()));
    assert_eq!(refused(&|config| config.token = None), Err("ca"));
}

#[test]
fn relative_files_are_relative_to_the_configuration_and_credentials_stay() {
    let mut config = config();
    config.token = Some("credential:vault-token".into());
    config.resolve(std::path::Path::new("/etc/sealsum"));
    assert_eq!(config.tls_ca, PathBuf::from("/etc/sealsum/ca.pem"));
    assert_eq!(config.token.as_deref(), Some("credential:vault-token"));
    config.token = Some("token".into());
    config.resolve(std::path::Path::new("/etc/sealsum"));
    assert_eq!(config.token.as_deref(), Some("/etc/sealsum/token"));
}

#[test]
fn a_serial_number_is_written_as_vault_writes_it() {
    assert_eq!(serial_number(&[0, 0xfa, 0, 1]), "fa:00:01");
    assert_eq!(serial_number(&[0x0a, 0xff]), "0a:ff");
}

#[test]
fn a_request_for_other_names_is_refused_before_vault_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let fleet: Fleet = "demo".parse().unwrap();
    let ca = crate::ca::builtin::create(&fleet, Timestamp::now()).unwrap().certificate_der;
    std::fs::write(directory.path().join("ca.pem"), pem("CERTIFICATE", &ca)).unwrap();
    // Nobody listens on the port that RFC 1078 took.
    let mut config = VaultConfig { url: "https://127.0.0.1:1".into(), ..config() };
    config.resolve(directory.path());
    let trust = FleetCa::from_der(&[ca]).unwrap();
    let vault = Vault::new(config, fleet.clone(), trust, directory.path().join("kept")).unwrap();

    let key = KeyPair::generate().unwrap();
    let leaf = Leaf {
        role: Role::Device(DeviceId::from_ek_public(b"ek")),
        public_key: PublicKey::from_sec1(key.public_key_raw()).unwrap(),
        x25519: Some([9; 32]),
        dns_names: Vec::new(),
        addresses: Vec::new(),
    };
    let issue = |uris: &[String]| {
        let mut params = CertificateParams::default();
        params.subject_alt_names =
            uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap())).collect();
        let csr = params.serialize_request(&key).unwrap().der().to_vec();
        vault.issue(&leaf, &csr, 3_600, Timestamp::now()).unwrap_err()
    };
    let own: Vec<String> = leaf.names(&fleet).uris.into_iter().collect();
    let stranger = Role::Device(DeviceId::from_ek_public(b"other")).uri(&fleet);
    let more = [&own[..], &["spiffe://demo/authority".into()]].concat();
    for wrong in [vec![], own[..1].to_vec(), vec![stranger, own[1].clone()], more] {
        assert!(matches!(issue(&wrong), CaError::Names(_)), "{wrong:?}");
    }
    // The right names get past this: here to a token file that is not there.
    assert!(matches!(issue(&own), CaError::Refused(why) if why.contains("token")), "{own:?}");
}
