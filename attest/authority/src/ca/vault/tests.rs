use super::*;

fn config() -> VaultConfig {
    toml::from_str("url = \"https://vault.example:8200\"\ntls_ca = \"ca.pem\"\ntoken = \"t\"")
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
